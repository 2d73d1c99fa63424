"""Step 2 of 7: large frames in RLE (PS3.5 Annex G), a segment at a time: no more than half a frame beside the result.

A segment holds one byte of every sample of one component, the highest first, each row packed as PackBits does.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.ingest.codecs import Stored
    from gateway.ingest.header import PixelHeader

_HEADER = Struct("<16L")  # how many segments, and where each begins


def decode(frame: bytes | memoryview, header: PixelHeader) -> Stored:
    """Samples, [rows, columns] or [rows, columns, 3]. Raises ValueError for what is no such frame, or is not whole."""
    size = header.bits_allocated // 8
    out = np.empty((header.rows, header.columns, header.samples, size), np.uint8)
    for number, plane in enumerate(planes(frame, header)):
        component, byte = divmod(number, size)
        out[:, :, component, size - 1 - byte] = plane
    stored: Stored = out.reshape(header.rows, header.columns, -1).view(f"<{'i' if header.signed else 'u'}{size}")
    return stored[:, :, 0] if header.samples == 1 else stored


def planes(frame: bytes | memoryview, header: PixelHeader) -> Iterator[npt.NDArray[np.uint8]]:
    """Each segment, [rows, columns], as long as the next is not asked for. Raises as ``decode``."""
    from imagecodecs import packbits_decode  # noqa: PLC0415 - 0.3 s to import, and seldom needed

    size = header.bits_allocated // 8
    count, *starts = _HEADER.unpack_from(frame)
    if count != header.samples * size:
        raise ValueError("an RLE frame has another number of segments than its attributes give")
    ends = [*starts[1:count], len(frame)]
    pixels = header.rows * header.columns
    plane = np.empty(pixels + 1, np.uint8)  # a pad byte may be read as one more
    view = memoryview(frame)
    for start, end in zip(starts, ends, strict=False):
        if not _HEADER.size <= start < end <= len(frame):
            raise ValueError("an RLE segment lies outside of its frame")
        segment: Any = view[start:end]
        if len(packbits_decode(segment, out=plane.data)) < pixels:
            raise ValueError("an RLE segment is too short")
        yield plane[:pixels].reshape(header.rows, header.columns)
