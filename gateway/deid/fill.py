"""Step 3 of 7: stored values painted black, for every photometric interpretation and layout.

| pixels | black |
|---|---|
| MONOCHROME2 | the lowest stored value that there can be; Pixel Padding Value if no pixel is darker |
| MONOCHROME1 | the highest; likewise |
| PALETTE COLOR | the index of the darkest entry |
| RGB | 0, 0, 0 |
| YBR_FULL, YBR_FULL_422 | 0, half, half (PS3.3 C.7.6.3.1.2) |
| YBR_PARTIAL_422 | 16, half, half |
| floating point | the darkest finite value of the frame |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gateway.ingest.header import HALF_CHROMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.deid.look import Cover
    from gateway.ingest.codecs import Stored
    from gateway.ingest.header import PixelHeader
    from gateway.ingest.photometric import Display

_STRIP = 2**20  # pixels


def paint(stored: Stored, cover: Cover, black: npt.NDArray[Any]) -> Stored:
    """Decoded values [rows, columns] or [rows, columns, 3] with ``black`` where ``cover`` is.

    Painted in place if they are nobody else's, else a copy.
    """
    painted = stored if stored.flags.owndata and stored.flags.writeable else stored.copy()
    painted[cover] = black
    return painted


def black(display: Display, number: int, stored: Stored, photometric: str) -> npt.NDArray[Any]:
    """The stored value or values of black, in the type of ``stored``.

    Args:
        display: How the object's frames are shown.
        number: Of the frame.
        stored: The frame's values.
        photometric: What they are, as the decoder left them.
    """
    header = display.header
    if photometric == "RGB":
        return np.zeros(3, stored.dtype)
    if photometric.startswith("YBR"):
        half = 1 << (header.bits_stored - 1)
        return np.array([16 if "PARTIAL" in photometric else 0, half, half]).astype(stored.dtype)
    if display.palette is not None:
        every = np.arange(2 ** min(header.bits_stored, 16), dtype=np.int32)
        return np.asarray(int(display.palette.apply(every).astype(np.uint16).sum(1).argmin())).astype(stored.dtype)
    rises = display.black(number)
    if stored.dtype.kind == "f":
        finite = stored[np.isfinite(stored)]
        return np.asarray((finite.min() if rises else finite.max()) if len(finite) else 0, stored.dtype)
    low, high = _range(header)
    grey = display.grey.get(number)
    if grey is not None and grey.padding is not None:
        least, most = grey.padding
        if rises and low <= least <= stored.min():
            return np.asarray(int(least)).astype(stored.dtype)
        if not rises and high >= most >= stored.max():
            return np.asarray(int(most)).astype(stored.dtype)
    return np.asarray(low if rises else high).astype(stored.dtype)


def _range(header: PixelHeader) -> tuple[int, int]:
    bits = header.bits_stored
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if header.signed else (0, (1 << bits) - 1)


def without_unused(stored: Stored, header: PixelHeader) -> Stored:
    """The values without what stands in bits above Bits Stored (old overlays do); the same array if there is nothing.

    There signed values have copies of their sign, or zeros: both stay.
    """
    if stored.dtype.kind not in "iu" or header.is_within(stored):
        return stored
    shift = 8 * stored.dtype.itemsize - header.bits_stored
    wide = stored.dtype.newbyteorder("=")
    unsigned = stored.astype(wide, copy=False).view(f"u{wide.itemsize}")
    low = unsigned & unsigned.dtype.type((1 << header.bits_stored) - 1)
    if np.array_equal(low, unsigned):
        return stored
    if not header.signed:
        cleared: Stored = low.view(wide)
        return cleared
    extended: Stored = np.right_shift(np.left_shift(low.view(wide), shift), shift)
    differs = low != unsigned
    return stored if np.array_equal(extended.view(unsigned.dtype)[differs], unsigned[differs]) else extended


def paint_native(raw: memoryview, cover: Cover | None, value: npt.NDArray[Any], header: PixelHeader) -> bytearray:
    """One frame's bytes as they stand in native little endian Pixel Data, painted; other samples stay as they are.

    Args:
        raw: The frame.
        cover: Where; None paints nothing. Two pixels that share chroma are painted together.
        value: Of ``black``.
        header: Sizes; not of single bits.
    """
    out = bytearray(raw)
    kind = "f" if header.keyword != "PixelData" else "i" if header.signed else "u"
    samples = np.frombuffer(out, dtype=f"<{kind}{header.bits_allocated // 8}")
    if (clean := without_unused(samples, header)) is not samples:
        samples[:] = clean
    if cover is None:
        return out
    if header.photometric in HALF_CHROMA:
        flat = np.append(cover.reshape(-1), np.zeros(cover.size % 2, np.bool_))
        luma, blue, red = value.tolist()
        samples[: flat.size * 2].reshape(-1, 4)[flat.reshape(-1, 2).any(1)] = (luma, luma, blue, red)
    elif header.samples == 1:
        samples.reshape(cover.shape)[cover] = value
    elif header.planar:
        samples.reshape(3, *cover.shape)[:, cover] = value[:, None]
    else:
        samples.reshape(*cover.shape, 3)[cover] = value
    return out


def painted_strips(raw: memoryview, cover: Cover, value: npt.NDArray[Any], header: PixelHeader) -> Iterator[bytearray]:
    """``paint_native`` of a frame of one sample a pixel, some rows at a time: a large one is not in memory twice."""
    columns = cover.shape[1]
    step = max(1, _STRIP // columns)
    row = columns * header.bits_allocated // 8
    for top in range(0, len(cover), step):
        yield paint_native(raw[top * row : (top + step) * row], cover[top : top + step], value, header)


def paint_bits(value: bytearray, number: int, cover: Cover) -> None:
    """Clear the bits of one frame where it is covered. Frames of single bits follow each other without padding.

    Args:
        value: Native Pixel Data of single bits; changed in place.
        number: Of the frame, 1-based.
        cover: Where.
    """
    first = (number - 1) * cover.size
    start, end = first // 8, -(-(first + cover.size) // 8)
    bits = np.unpackbits(np.frombuffer(value[start:end], np.uint8), bitorder="little")
    bits[first - 8 * start :][: cover.size][cover.reshape(-1)] = 0
    value[start:end] = np.packbits(bits, bitorder="little").tobytes()
