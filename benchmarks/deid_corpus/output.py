"""De-identification benchmark: what an engine gave back for one instance."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydicom import dcmread

if TYPE_CHECKING:
    import numpy.typing as npt
    from pydicom.dataset import Dataset


PIXELS = 0x7FE00010


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """One result.

    Attributes:
        dataset: The header afterwards, with its file meta; None if the engine gave none.
        refusal: Why there is none: the name of an error, or ``missing``. Holds no value.
        before: Frames of the input, in stored values; None if pixels were not asked for.
        after: The same frames afterwards.
    """

    dataset: Dataset | None = field(repr=False)
    refusal: str = ""
    before: list[npt.NDArray[Any]] | None = field(default=None, repr=False)
    after: list[npt.NDArray[Any]] | None = field(default=None, repr=False)


def frames_of(data: bytes) -> list[npt.NDArray[Any]]:
    """The stored values of every frame of a file."""
    dataset = dcmread(BytesIO(data))
    array = dataset.pixel_array
    return list(array) if int(dataset.get("NumberOfFrames") or 1) > 1 else [array]


def read_output(data: bytes, before: list[npt.NDArray[Any]] | None) -> Output:
    """What a tool wrote, read back, every element looked at; what pydicom cannot read is a result too.

    Args:
        data: The file.
        before: Frames of the input, if the pixels are to be compared.
    """
    try:
        dataset = dcmread(BytesIO(data))
        after = frames_of(data) if before is not None else None
        dataset.pop(PIXELS, None)
        dataset.decode()
        for _ in dataset.iterall():
            pass
    except Exception as error:  # noqa: BLE001 - an output that cannot be read is a result
        return Output(None, f"unreadable: {type(error).__name__}", before)
    return Output(dataset, "", before, after)
