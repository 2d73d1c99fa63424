"""Frames and their headers, for codecs that are given an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.ingest.header import PixelHeader


def header_of(stored: npt.NDArray[Any], bits: int) -> PixelHeader:
    """Of one frame, [rows, columns] or [rows, columns, 3]."""
    samples = 1 if stored.ndim == 2 else 3
    size = 8 * stored.dtype.itemsize
    photometric = "RGB" if samples == 3 else "MONOCHROME2"
    return PixelHeader(
        "PixelData", *stored.shape[:2], samples, 1, photometric, size, bits, stored.dtype.kind == "i", planar=False
    )


def noise(kind: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """All values that a type has, with runs of the same between them."""
    roll = np.random.default_rng(1)
    ends = np.iinfo(kind)
    values = roll.integers(ends.min, ends.max, shape, endpoint=True).astype(kind)
    values[:, shape[1] // 2 :] = values[0, 0]
    return values
