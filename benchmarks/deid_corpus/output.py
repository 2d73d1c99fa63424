"""De-identification benchmark: what an engine gave back for one instance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt
    from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """One result.

    Attributes:
        dataset: The header afterwards, with its file meta; None if the engine gave none.
        refusal: Why there is none: the name of an error, or ``missing``. Holds no value.
        before: Frames as the engine's kind of output shows them, of the input; None if pixels were not asked for.
        after: The same frames afterwards.
    """

    dataset: Dataset | None = field(repr=False)
    refusal: str = ""
    before: list[npt.NDArray[Any]] | None = field(default=None, repr=False)
    after: list[npt.NDArray[Any]] | None = field(default=None, repr=False)
