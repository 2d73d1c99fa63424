"""Step 3 of 7: a large frame in RLE (PS3.5 Annex G), a segment at a time, packed by imagecodecs."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.ingest.patch import strips

if TYPE_CHECKING:
    from gateway.ingest.codecs import Stored

_SEGMENTS = 15  # most that the header has room for


def encode(stored: Stored) -> bytearray:
    """Samples [rows, columns] or [rows, columns, 3], of 8 or 16 bits."""
    from imagecodecs import packbits_encode  # noqa: PLC0415 - 0.3 s to import, and seldom needed

    size = stored.dtype.itemsize
    single = np.ascontiguousarray(stored, stored.dtype.newbyteorder("<")).view(np.uint8).reshape(*stored.shape[:2], -1)
    out, starts = bytearray(64), []
    for component in range(single.shape[2] // size):
        for byte in reversed(range(size)):  # the highest first
            starts.append(len(out))
            for place in strips(stored.shape):
                plane: Any = np.ascontiguousarray(single[place][:, :, component * size + byte])
                out += packbits_encode(plane, axis=-1)  # each row by itself
            out += bytes(len(out) % 2)
    out[:64] = pack("<16L", len(starts), *starts, *[0] * (_SEGMENTS - len(starts)))
    return out
