"""Step 2 of 7: pixels that are to be shown as if they had another value, without a copy of the frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.ingest.codecs import Stored

_BLOCK = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """What stands where a grey frame is masked.

    Attributes:
        cover: bool [rows, columns].
        value: The stored value, in the type of the frame.
    """

    cover: npt.NDArray[np.bool_] = field(repr=False)
    value: npt.NDArray[Any]

    def seen_as(self, kind: np.dtype[Any]) -> Self:
        """The same with the value's bits read as another type of the same size."""
        value = np.atleast_1d(self.value)
        return type(self)(self.cover, value.astype(value.dtype.newbyteorder("=")).view(kind)[0])


def blocks(values: Stored, patch: Patch | None = None) -> Iterator[tuple[slice, Stored]]:
    """A frame's values in order, up to 2**20 at a time, patched; and where they stand in the flat frame."""
    flat = values.reshape(-1)
    hidden = None if patch is None else patch.cover.reshape(-1)
    for start in range(0, len(flat), _BLOCK):
        place = slice(start, min(start + _BLOCK, len(flat)))
        block = flat[place]
        if patch is not None and hidden is not None and hidden[place].any():
            block = np.where(hidden[place], patch.value, block)
        yield place, block


def counted(values: Stored, most: int, patch: Patch | None = None) -> npt.NDArray[np.int64]:
    """How often each of ``most`` values occurs. NumPy makes eight bytes of each value first: so block by block."""
    counts = np.zeros(most, np.int64)
    for _, block in blocks(values, patch):
        counts += np.bincount(block, minlength=most)
    return counts


def looked_up(tones: npt.NDArray[np.uint8], values: Stored, patch: Patch | None = None) -> npt.NDArray[np.uint8]:
    """Each value's tone, in the shape of the values; block by block likewise."""
    out = np.empty(values.size, np.uint8)
    for place, block in blocks(values, patch):
        out[place] = tones[block]
    return out.reshape(values.shape)
