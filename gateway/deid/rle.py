"""Step 3 of 7: a large frame in RLE (PS3.5 Annex G), a segment at a time, packed by imagecodecs.

Noise is no smaller in RLE than it is by itself. So a frame that came in RLE is painted without being in memory decoded:
a segment is decoded, painted and packed again, on its way from the file that came to the file that goes.
"""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.errors import NotSanitizable
from gateway.ingest.patch import strips
from gateway.ingest.rle import planes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from gateway.ingest.codecs import Stored
    from gateway.ingest.header import PixelHeader
    from gateway.ingest.patch import Patch

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


def repainted(frame: bytes | memoryview, header: PixelHeader, patch: Patch) -> tuple[int, Iterator[bytes | bytearray]]:
    """A frame in RLE, painted: its length, an even number of bytes, and its pieces.

    Packed twice, first for the lengths: the header with them stands before all else. Each piece is unpacked again.

    Raises:
        ValueError: The frame is none, or is not whole.
        NotSanitizable: From the iterator: a piece is not read as it was written.
    """
    lengths = [sum(map(len, _packed(plane))) for plane in _painted(frame, header, patch)]
    even = [length + length % 2 for length in lengths]
    starts = [64 + sum(even[:number]) for number in range(len(even))]

    def pieces() -> Iterator[bytes | bytearray]:
        yield pack("<16L", len(starts), *starts, *[0] * (_SEGMENTS - len(starts)))
        for length, plane in zip(lengths, _painted(frame, header, patch), strict=True):
            yield from _packed(plane, check=True)
            yield bytes(length % 2)

    return 64 + sum(even), pieces()


def _painted(frame: bytes | memoryview, header: PixelHeader, patch: Patch) -> Iterator[npt.NDArray[np.uint8]]:
    size = header.bits_allocated // 8
    black = np.ascontiguousarray(patch.value.reshape(-1), patch.value.dtype.newbyteorder("<")).view(np.uint8)
    for number, plane in enumerate(planes(frame, header)):
        component, byte = divmod(number, size)
        for place in strips(plane.shape):
            plane[place][patch.mask[place]] = black[component * size + size - 1 - byte]
        yield plane


def _packed(plane: npt.NDArray[np.uint8], *, check: bool = False) -> Iterator[bytes | bytearray]:
    """Some rows at a time, each row by itself."""
    from imagecodecs import packbits_decode, packbits_encode  # noqa: PLC0415 - 0.3 s to import, and seldom needed

    for place in strips(plane.shape):
        rows: Any = plane[place]
        packed = packbits_encode(rows, axis=-1)
        if check and packbits_decode(packed) != rows.tobytes():
            raise NotSanitizable("A masked frame cannot be encoded again without a change to other pixels")
        yield packed
