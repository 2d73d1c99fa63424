"""Step 3 of 7: a JPEG or PNG as it is given back: text masked, no metadata.

| came as | goes as |
|---|---|
| PNG | PNG; grey stays grey, 16 bits stay 16 bits; what was transparent is black |
| JPEG, nothing masked, upright | the same JPEG, its segments but those that decoding needs cut out |
| JPEG, something masked or turned by EXIF | PNG: what a lossy codec left is not put through one again |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from gateway.deid.canvas import both
from gateway.deid.rewrite import MOST_MASKS
from gateway.deid.strip import strip_jpeg
from gateway.deid.survey import Tally
from gateway.errors import NotSanitizable
from gateway.ingest.guard import fence
from gateway.ingest.spread import spread
from gateway.ingest.upload import MediaType

if TYPE_CHECKING:
    from gateway.deid.pixel_policy import PixelPolicy
    from gateway.deid.survey import Surveyor
    from gateway.ingest.image import DisplayFrame
    from gateway.ingest.mask import Mask
    from gateway.ingest.raster import Picture, RasterPixels


@dataclass(frozen=True, slots=True, eq=False)
class CleanRaster:
    """A JPEG or PNG as it is given back, and what was done."""

    data: bytes = field(repr=False)
    media_type: MediaType
    tally: Tally
    recoded: str = ""


class RasterCleaner:
    """Cleans rasters by one policy. They say nothing of themselves, so their risk is high."""

    def __init__(self, policy: PixelPolicy, surveyor: Surveyor) -> None:
        self._policy = policy
        self._surveyor = surveyor

    def clean(self, raster: RasterPixels) -> CleanRaster:
        """Look, mask, write, look again.

        Raises:
            NotSanitizable: More text than may be masked, text that stays, or the detector failed.
            Unreadable: It cannot be decoded.
        """
        tally = Tally()
        picture, turned = raster.stored()
        mask = None
        if self._policy.look:
            tally.looked_at = 1
            mask = self._mask(picture, tally)
        if mask is None and not turned and raster.media_type is MediaType.JPEG:
            with fence("The image cannot be read"):
                return CleanRaster(strip_jpeg(raster.data), MediaType.JPEG, tally)
        if mask is not None:
            tally.frames_masked = 1
            picture = _painted(picture, mask)
            for _ in range(MOST_MASKS):
                if (more := self._mask(_read(_png(picture)), tally, mask)) is None:
                    break
                mask |= more
                picture = _painted(picture, mask)
            else:
                raise NotSanitizable("Text is still found in the image after it was masked several times")
            tally.share = mask.share
        recoded = "" if raster.media_type is MediaType.PNG else "PNG"
        return CleanRaster(_png(picture), MediaType.PNG, tally, recoded)

    def _mask(self, picture: Picture, tally: Tally, masked: Mask | None = None) -> Mask | None:
        looks = self._policy.whole.high
        shown = _shown(picture)
        if looks.full_range and picture.dtype != np.uint8:
            shown = both(shown, spread(picture))
        return self._surveyor.mask([shown], looks, tally, masked=masked)


def _shown(picture: Picture) -> DisplayFrame:
    if picture.dtype == np.uint8:
        return picture.astype(np.uint8, copy=False)
    low, high = int(picture.min()), int(picture.max())
    return ((picture - low).astype(np.uint32) * 255 // max(high - low, 1)).astype(np.uint8)


def _painted(picture: Picture, mask: Mask) -> Picture:
    painted = picture.copy()
    painted[mask.whole()] = 0
    return painted


def _png(picture: Picture) -> bytes:
    """Pixels alone: Pillow writes no other chunk unless it is asked to."""
    out = BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()


def _read(data: bytes) -> Picture:
    with fence("The masked image cannot be read back", NotSanitizable):
        image = Image.open(BytesIO(data), formats=("PNG",))
        stored = np.asarray(image)
        return stored.astype(np.uint16) if image.mode.startswith("I") else stored.astype(np.uint8, copy=False)
