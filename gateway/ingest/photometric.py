"""Step 2 of 7: from stored values to a display frame, by what the header says of each frame.

Reads everything it needs from the data set at once, so that this may change afterwards. For enhanced objects the
per-frame functional groups win over the shared ones, and these over the top level (PS3.3 C.7.6.16). Supplemental
palettes, overlays, presentation states and ICC profiles are not applied: none of them is part of the stored image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gateway.ingest.colour import to_rgb
from gateway.ingest.grey import Grey, Rescale, Window
from gateway.ingest.header import GREY, PALETTE, PixelHeader
from gateway.ingest.lut import LUT_DATA, LUT_DESCRIPTOR, Lut
from gateway.ingest.palette import Palette
from gateway.ingest.patch import Coloured
from gateway.ingest.spread import spread_piecewise
from gateway.ingest.values import first, items, real

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydicom.dataset import Dataset

    from gateway.ingest.codecs import Stored
    from gateway.ingest.image import DisplayFrame
    from gateway.ingest.patch import Patch, Shown, Toned

MODALITY_LUT_SEQUENCE, VOI_LUT_SEQUENCE = 0x00283000, 0x00283010
INTERCEPT, SLOPE = 0x00281052, 0x00281053
CENTER, WIDTH, FUNCTION = 0x00281050, 0x00281051, 0x00281056
PADDING, PADDING_LIMIT = 0x00280120, 0x00280121
PRESENTATION_LUT_SHAPE = 0x20500020
SHARED_GROUPS, FRAME_GROUPS = 0x52009229, 0x52009230
PIXEL_VALUE_TRANSFORMATION, FRAME_VOI_LUT = 0x00289145, 0x00289132


@dataclass(frozen=True, slots=True, eq=False)
class Display:
    """How the selected frames are shown.

    Attributes:
        header: Checked sizes.
        grey: Frame number to its grey pipeline; empty unless MONOCHROME1 or MONOCHROME2.
        palette: For PALETTE COLOR.
    """

    header: PixelHeader
    grey: dict[int, Grey]
    palette: Palette | None = None

    @classmethod
    def read(cls, dataset: Dataset, header: PixelHeader, numbers: Iterable[int], *, little_endian: bool) -> Display:
        """Raises Unreadable if a palette or lookup table that is needed is none."""
        if header.photometric == PALETTE:
            palette = Palette.read(dataset, signed=header.signed, little_endian=little_endian)
            return cls(header, {}, palette)
        if header.photometric not in GREY:
            return cls(header, {})
        shared = items(dataset, SHARED_GROUPS)[:1]
        per_frame = items(dataset, FRAME_GROUPS)
        grey = {}
        for number in numbers:
            groups = [*per_frame[number - 1 : number], *shared]
            grey[number] = _grey(dataset, groups, header, little_endian=little_endian)
        return cls(header, grey)

    def render(self, number: int, stored: Stored, photometric: str, patch: Patch | None = None) -> DisplayFrame:
        """A display frame. ``photometric`` is what the decoder left behind; a patch stands where ``patches`` says."""
        shown = self.piecewise(number, stored, photometric, patch)
        return np.ascontiguousarray(shown if isinstance(shown, np.ndarray) else shown.whole())

    def piecewise(
        self, number: int, stored: Stored, photometric: str, patch: Patch | None = None
    ) -> DisplayFrame | Shown:
        """What ``render`` gives, to be shown piece by piece where a piece can be shown without the rest."""
        if self.palette is not None:
            return Coloured(self.palette.apply, stored, patch)
        if photometric in GREY:
            return self.grey[number].toned(stored, patch)
        return Coloured(partial(to_rgb, photometric=photometric, bits_stored=self.header.bits_stored), stored, patch)

    def full_range(self, number: int, stored: Stored, photometric: str, patch: Patch | None = None) -> Toned | None:
        """Grey values as ``spread`` shows them; None for colour, and where ``render`` shows every value apart."""
        if photometric not in GREY or self.palette is not None or self.grey[number].shows_all(stored):
            return None
        return spread_piecewise(stored, patch)

    def patches(self, stored: Stored, photometric: str) -> bool:
        """Whether a patch can stand for a painted copy of a frame."""
        by_pixel = photometric not in GREY or self.palette is not None or stored.dtype.itemsize <= 2
        return by_pixel and stored.dtype.kind in "iu"

    def black(self, number: int) -> bool:
        """Whether the lowest stored value is the dark end of a grey frame; for other frames true."""
        return number not in self.grey or self.grey[number].rises()


def _grey(dataset: Dataset, groups: list[Dataset], header: PixelHeader, *, little_endian: bool) -> Grey:
    value_groups = [*(item for group in groups for item in items(group, PIXEL_VALUE_TRANSFORMATION)[:1]), dataset]
    voi_groups = [*(item for group in groups for item in items(group, FRAME_VOI_LUT)[:1]), dataset]
    modality: Lut | Rescale = Rescale()
    for group in reversed(value_groups):
        modality = _modality(group, header, little_endian=little_endian) or modality
    signed = header.signed or isinstance(modality, Rescale)
    voi: Lut | Window | None = None
    for group in reversed(voi_groups):
        voi = _voi(group, signed=signed, little_endian=little_endian) or voi
    shape = first(dataset, PRESENTATION_LUT_SHAPE)
    padding, limit = real(dataset, PADDING), real(dataset, PADDING_LIMIT)
    ends = None if padding is None else (padding, padding if limit is None else limit)
    return Grey(
        modality=modality,
        voi=voi,
        # One inversion, twice declared: MONOCHROME1 images carry the shape INVERSE (PS3.3 C.8.11.3).
        inverted=header.photometric == "MONOCHROME1" or (isinstance(shape, str) and shape.strip() == "INVERSE"),
        bits_stored=header.bits_stored if header.keyword == "PixelData" else 64,
        padding=None if ends is None else (min(ends), max(ends)),
    )


def _modality(group: Dataset, header: PixelHeader, *, little_endian: bool) -> Lut | Rescale | None:
    for item in items(group, MODALITY_LUT_SEQUENCE)[:1]:
        return Lut.read(item, signed=header.signed, little_endian=little_endian)
    slope, intercept = real(group, SLOPE), real(group, INTERCEPT)
    # A slope of 0 would wipe the image out; it is written by mistake for "none".
    return Rescale(slope, intercept) if slope and intercept is not None else None


def _voi(group: Dataset, *, signed: bool, little_endian: bool) -> Lut | Window | None:
    for item in items(group, VOI_LUT_SEQUENCE)[:1]:
        if LUT_DESCRIPTOR in item and LUT_DATA in item:
            return Lut.read(item, signed=signed, little_endian=little_endian)
    center, width = real(group, CENTER), real(group, WIDTH)
    if center is None or width is None:
        return None
    match first(group, FUNCTION):
        case "LINEAR_EXACT" if width > 0:
            return Window(center, width, "LINEAR_EXACT")
        case "SIGMOID" if width > 0:
            return Window(center, width, "SIGMOID")
        case "LINEAR_EXACT" | "SIGMOID":
            return None
    return Window(center, width) if width >= 1 else None
