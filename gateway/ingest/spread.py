"""Step 2 of 7: grey values made visible whatever any window would show of them.

A value's grey is the mean of two. By its place in the order of the values that occur: gaps between them close, and
print of a small amplitude stands out. And by its size, between values that some pixels are beyond: print that is far
from all other values stands out, and one hot pixel changes nothing. Either hides what the other shows; equalizing the
histogram hides print in a crowded part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gateway.ingest.patch import Toned, counted

if TYPE_CHECKING:
    from gateway.ingest.codecs import Stored
    from gateway.ingest.patch import Patch

_LEVELS = 2**16
_BLOCK = 2**20
_BEYOND = 1e-4  # of the pixels, at each end: a line of print of nine pixels in a frame of 512 x 512 is ten times that


def spread(stored: Stored, patch: Patch | None = None) -> npt.NDArray[np.uint8]:
    """uint8 [rows, columns]; the arguments are those of ``spread_piecewise``."""
    return spread_piecewise(stored, patch).whole()


def spread_piecewise(stored: Stored, patch: Patch | None = None) -> Toned:
    """The frame, to be shown piece by piece.

    Args:
        stored: Whole or floating-point numbers. What is wider than 16 bits is first scaled to 16, from the lowest to
            the highest value that is finite.
        patch: Values shown in the place of some; for whole numbers of up to 16 bits.
    """
    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
        most = 2 ** (8 * stored.dtype.itemsize)
        # Read without their sign, negative values come last: the tables are turned, not each value.
        turn = most // 2 if stored.dtype.kind == "i" else 0
        return Toned(np.roll(_tones(np.roll(counted(stored, most, patch), turn)), -turn), stored, patch)
    levels = _levels(stored)
    return Toned(_tones(counted(levels, _LEVELS)), levels)


def _tones(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    order = np.maximum(np.cumsum(counts > 0) - 1, 0)
    below = np.cumsum(counts)
    low, high = np.searchsorted(below, np.array([_BEYOND, 1 - _BEYOND]) * below[-1], side="right").tolist()
    size = np.clip((np.arange(len(counts)) - low) / max(high - low, 1), 0, 1)
    tones: npt.NDArray[np.uint8] = np.rint((order / max(int(order[-1]), 1) + size) * (255 / 2)).astype(np.uint8)
    return tones


def _levels(stored: Stored) -> npt.NDArray[np.uint16]:
    """The same order of values in 16 bits without a sign."""
    flat = stored.reshape(-1)
    low, high = np.inf, -np.inf
    for start in range(0, len(flat), _BLOCK):
        block = flat[start : start + _BLOCK].astype(np.float64)
        block = block[np.isfinite(block)]
        if len(block):
            low, high = min(low, float(block.min())), max(high, float(block.max()))
    out = np.zeros(len(flat), np.uint16)
    if high > low:
        for start in range(0, len(flat), _BLOCK):
            share = (flat[start : start + _BLOCK].astype(np.float64) - low) / (high - low)
            share = np.clip(np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
            out[start : start + _BLOCK] = np.rint(share * (_LEVELS - 1))
    return out.reshape(stored.shape)
