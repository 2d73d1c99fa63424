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

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gateway.ingest.header import HALF_CHROMA
from gateway.ingest.patch import Patch, strips

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.ingest.codecs import Stored
    from gateway.ingest.header import PixelHeader
    from gateway.ingest.mask import Cover, Mask
    from gateway.ingest.photometric import Display


def paint(stored: Stored, mask: Mask, black: npt.NDArray[Any]) -> Stored:
    """Decoded values [rows, columns] or [rows, columns, 3] with ``black`` where the mask is.

    Painted in place if they are nobody else's, else a copy.
    """
    painted = stored if stored.flags.owndata and stored.flags.writeable else stored.copy()
    for place in strips(painted.shape):
        painted[place][mask[place]] = black
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


def painted_strips(raw: memoryview, mask: Mask, value: npt.NDArray[Any], header: PixelHeader) -> Iterator[bytearray]:
    """``paint_native`` some rows at a time, of a frame that is not in 4:2:2: a large one is not in memory twice."""
    planes = header.samples if header.planar else 1
    row = header.frame_bits // 8 // planes // header.rows
    one = replace(header, planar=False, samples=header.samples // planes)
    for plane in range(planes):
        start = plane * header.rows * row
        colour = value[plane] if planes > 1 else value
        for place in strips(mask.shape):
            part = raw[start + place[0].start * row : start + place[0].stop * row]
            yield paint_native(part, mask[place], colour, one)


def painted_rows(stored: Stored, patch: Patch, header: PixelHeader) -> Iterator[memoryview]:
    """Decoded values, painted, as native little endian Pixel Data in 8-bit bytes, some rows at a time."""
    for place in strips(stored.shape):
        part = patch.onto(stored[place], place)
        yield np.ascontiguousarray(part, f"<{part.dtype.kind}{header.bits_allocated // 8}").data.cast("B")


def paint_bits(value: bytearray, number: int, mask: Mask) -> None:
    """Clear the bits of one frame where it is covered. Frames of single bits follow each other without padding.

    Args:
        value: Native Pixel Data of single bits; changed in place.
        number: Of the frame, 1-based.
        mask: Where.
    """
    cover = mask.whole()
    first = (number - 1) * cover.size
    start, end = first // 8, -(-(first + cover.size) // 8)
    bits = np.unpackbits(np.frombuffer(value[start:end], np.uint8), bitorder="little")
    bits[first - 8 * start :][: cover.size][cover.reshape(-1)] = 0
    value[start:end] = np.packbits(bits, bitorder="little").tobytes()
