"""Step 2 of 7: which pixels of a frame are covered, at one bit a pixel: a byte each would be half of a 16-bit frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

Cover = npt.NDArray[np.bool_]
"""The same with a byte a pixel, [rows, columns]."""
Place: TypeAlias = tuple[slice, slice]
"""Rows and columns, without a step."""


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """What is covered. Not to be changed.

    Attributes:
        bits: [rows, bytes of a row], the first pixel in the highest bit; beyond the last column there are zeros.
        columns: Of the frame.
    """

    bits: npt.NDArray[np.uint8] = field(repr=False)
    columns: int

    @classmethod
    def of(cls, cover: Cover) -> Self:
        """The same pixels."""
        return cls(np.packbits(cover, axis=1), cover.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the frame."""
        return len(self.bits), self.columns

    @property
    def share(self) -> float:
        """How much of the frame is covered, 0 to 1."""
        return float(np.bitwise_count(self.bits).sum(dtype=np.int64)) / (len(self.bits) * self.columns)

    def __getitem__(self, place: Place) -> Cover:
        rows, (first, last, _) = place[0], place[1].indices(self.columns)
        start = first // 8
        found = np.unpackbits(self.bits[rows, start : -(-last // 8)], axis=1)
        return found[:, first - 8 * start : last - 8 * start].view(np.bool_)

    def __or__(self, other: Mask) -> Mask:
        return Mask(self.bits | other.bits, self.columns)

    def whole(self) -> Cover:
        """All of it, a byte a pixel."""
        return self[:, :]
