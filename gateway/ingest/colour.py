"""Step 2 of 7: colour pixels become 8-bit RGB (PS3.3 C.7.6.3.1.2).

Full-range YCbCr is converted by Pillow, whose integer tables follow the same ITU-T T.871 formulae as the standard's;
NumPy would need some twenty bytes of memory a pixel for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from gateway.ingest.codecs import Stored

_FULL = frozenset({"YBR_FULL", "YBR_FULL_422"})
_ROWS_AT_ONCE = 256
_PARTIAL = np.array([[1.1644, 0.0, 1.5960], [1.1644, -0.3917, -0.8130], [1.1644, 2.0173, 0.0]], dtype=np.float32)
"""ITU-R BT.601 with Y in 16..235 and chroma in 16..240; the inverse of the YBR_PARTIAL_422 equations in C.7.6.3.1.2."""


def to_rgb(stored: Stored, photometric: str, bits_stored: int) -> npt.NDArray[np.uint8]:
    """uint8 [rows, columns, 3].

    Args:
        stored: Integers [rows, columns, 3].
        photometric: RGB or YBR_*; YBR_RCT and YBR_ICT were undone by the decoder and are RGB here.
        bits_stored: Of a sample; deeper samples lose their low bits, shallower ones are stretched.
    """
    array = _to_bytes(stored, bits_stored)
    if photometric in _FULL:
        size = (array.shape[1], array.shape[0])
        return np.asarray(Image.frombytes("YCbCr", size, array.tobytes()).convert("RGB"))
    if photometric == "YBR_PARTIAL_422":
        out = np.empty_like(array)
        offset = np.array([16, 128, 128], dtype=np.float32)
        for top in range(0, len(array), _ROWS_AT_ONCE):
            block = (array[top : top + _ROWS_AT_ONCE].astype(np.float32) - offset) @ _PARTIAL.T
            out[top : top + _ROWS_AT_ONCE] = np.clip(np.rint(block), 0, 255)
        return out
    return array


def _to_bytes(stored: Stored, bits: int) -> npt.NDArray[np.uint8]:
    if stored.dtype.kind == "i":  # two's complement has no meaning for colour
        stored = stored.view(stored.dtype.str.replace("i", "u"))
    if stored.dtype.itemsize == 1 and bits >= 8:
        return np.ascontiguousarray(stored)
    out: npt.NDArray[np.uint8]
    if bits > 8:
        out = np.minimum(stored >> (bits - 8), 0xFF).astype(np.uint8)
    else:
        top = 2**bits - 1
        out = (np.minimum(stored, top).astype(np.uint32) * 255 // top).astype(np.uint8)
    return out
