"""Step 2 of 7: what the header says of the pixels (Image Pixel Module, PS3.3 C.7.6.3), checked before decoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gateway.errors import ImageTooLarge, Unreadable, UnsafeFile
from gateway.ingest.structure import PixelElement, name
from gateway.ingest.values import first, integer, required

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from gateway.ingest.codecs import Stored
    from gateway.settings import IngestSettings

SAMPLES, PHOTOMETRIC, PLANAR, FRAMES = 0x00280002, 0x00280004, 0x00280006, 0x00280008
ROWS, COLUMNS = 0x00280010, 0x00280011
BITS_ALLOCATED, BITS_STORED, REPRESENTATION = 0x00280100, 0x00280101, 0x00280103
_KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_FLOAT_BITS = {0x7FE00008: 32, 0x7FE00009: 64}

GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
PALETTE = "PALETTE COLOR"
COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_RCT", "YBR_ICT"})
HALF_CHROMA = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})


@dataclass(frozen=True, slots=True)
class PixelHeader:
    """Sizes in pixels and bits; every value within the standard's range.

    Attributes:
        keyword: Keyword of the element that holds the pixels.
        rows, columns, samples, frames: Its dimensions; ``samples`` is 1 or 3.
        photometric: Photometric Interpretation, one that is rendered.
        bits_allocated: 1, 8, 16, 32 or 64.
        bits_stored: At most ``bits_allocated``. High Bit is taken to be one less, as PS3.5 §8.1.1 requires.
        signed: Whether stored values are two's complement.
        planar: Whether native samples come plane by plane.
    """

    keyword: str
    rows: int
    columns: int
    samples: int
    frames: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    signed: bool
    planar: bool

    @classmethod
    def read(cls, dataset: Dataset, pixels: PixelElement) -> Self:
        """Raises Unreadable, with the tag, for what is missing, out of range, or not rendered."""
        samples = required(dataset, SAMPLES)
        photometric = first(dataset, PHOTOMETRIC)
        photometric = photometric.strip(" \0").upper() if isinstance(photometric, str) else ""
        _check(photometric in GREY | COLOUR | {PALETTE}, PHOTOMETRIC)
        _check(samples == (3 if photometric in COLOUR else 1), SAMPLES)

        frames = integer(dataset, FRAMES)
        frames = 1 if frames is None else frames
        _check(frames >= 1, FRAMES)
        rows, columns = required(dataset, ROWS), required(dataset, COLUMNS)
        _check(0 < rows <= 0xFFFF, ROWS)
        _check(0 < columns <= 0xFFFF, COLUMNS)

        allocated = required(dataset, BITS_ALLOCATED)
        _check(allocated == _FLOAT_BITS.get(pixels.tag, allocated) and allocated in (1, 8, 16, 32, 64), BITS_ALLOCATED)
        stored = integer(dataset, BITS_STORED)
        stored = allocated if stored is None else stored
        _check(1 <= stored <= allocated, BITS_STORED)
        representation = integer(dataset, REPRESENTATION) or 0
        _check(representation in (0, 1), REPRESENTATION)
        planar = integer(dataset, PLANAR) or 0
        _check(planar in (0, 1), PLANAR)
        return cls(
            keyword=_KEYWORDS[pixels.tag],
            rows=rows,
            columns=columns,
            samples=samples,
            frames=frames,
            photometric=photometric,
            bits_allocated=allocated,
            bits_stored=stored,
            signed=representation == 1,
            planar=planar == 1,
        )

    @property
    def frame_bits(self) -> int:
        """Bits of one native frame. Two pixels share one pair of chroma samples in 4:2:2 (PS3.3 C.7.6.3.1.2)."""
        bits = self.rows * self.columns * self.samples * self.bits_allocated
        return bits // 3 * 2 if self.photometric in HALF_CHROMA else bits

    def is_within(self, stored: Stored) -> bool:
        """Whether whole numbers use no bit above Bits Stored, but for copies of their sign."""
        half = 1 << (self.bits_stored - 1)
        low, high = (-half, half) if self.signed else (0, 2 * half)
        return self.bits_stored >= 8 * stored.dtype.itemsize or bool(
            stored.size and low <= stored.min() and stored.max() < high
        )

    def check_limits(self, selected: int, limits: IngestSettings) -> None:
        """Raises ImageTooLarge if one frame, or the ``selected`` frames together, have more pixels than are taken."""
        pixels = self.rows * self.columns
        if pixels > limits.max_frame_pixels:
            raise ImageTooLarge(
                f"A frame has more than {limits.max_frame_pixels} pixels", limit=limits.max_frame_pixels
            )
        if pixels * selected > limits.max_total_pixels:
            raise ImageTooLarge(
                f"The chosen frames have more than {limits.max_total_pixels} pixels together; choose fewer by frames=",
                limit=limits.max_total_pixels,
            )

    def check_native(self, value: memoryview) -> None:
        """Raises UnsafeFile unless native pixels are as long as the header declares.

        A pad byte may follow, and after it zeros, nothing else. In 8-bit words written big endian the pad byte stands
        before the last pixel.
        """
        expected = (self.frame_bits * self.frames + 7) // 8
        if len(value) < expected or any(value[expected + expected % 2 :]):
            raise UnsafeFile(
                "Pixel Data (7FE0,0010) has not the length that Rows, Columns, Samples per Pixel, Bits Allocated,"
                " Number of Frames and Photometric Interpretation give"
            )


def _check(holds: bool, tag: int) -> None:
    if not holds:
        raise Unreadable(f"{name(tag)} has a value that is not supported, or that the other pixel attributes rule out")
