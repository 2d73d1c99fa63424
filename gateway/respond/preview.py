"""Step 6 of 7: what a model was given, as a person sees it. Made of a SanitizedImage, and of nothing else."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from gateway.deid.image import SanitizedImage
from gateway.ingest.image import StoredSize
from gateway.preprocess.placement import Placement

if TYPE_CHECKING:
    from gateway.deid.pixels import Outline
    from gateway.ingest.image import DisplayFrame

SIDE = 640
"""Pixels of the longer side of a picture at most."""
MOST = 4
"""Frames that are shown of one object."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One sanitized frame.

    Attributes:
        number: In the object, 1-based.
        png: The picture: grey or RGB, no metadata.
        width, height: Of the picture, pixels.
        masks: What is masked in it, as outlines in its pixels.
        placement: Where the stored picture stands in it: all of it.
    """

    number: int
    png: bytes = field(repr=False)
    width: int
    height: int
    masks: tuple[Outline, ...]
    placement: Placement

    def from_stored(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """A box of the stored picture (x and y of two opposite corners) in this one: left, top, width, height."""
        left, top, right, bottom = self.placement.from_stored(np.array([box], np.float64))[0].tolist()
        return left, top, right - left, bottom - top


def look_at(image: SanitizedImage) -> tuple[Seen, ...]:
    """Pictures of some of its frames, spread over all: at most ``MOST``, none longer than ``SIDE``.

    Raises:
        TypeError: Not a SanitizedImage: nothing else may be shown.
    """
    if not isinstance(image, SanitizedImage):
        raise TypeError("only a SanitizedImage is shown")
    count = len(image.frames)
    chosen = sorted({round(at) for at in np.linspace(0, count - 1, min(MOST, count))})
    return tuple(_seen(image, at) for at in chosen)


def _seen(image: SanitizedImage, at: int) -> Seen:
    frame = image.frames[at]
    masks = image.masks[at] if image.masks else ()
    height, width = frame.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    wide, tall = max(1, round(width * scale)), max(1, round(height * scale))
    return Seen(
        number=image.frame_numbers[at],
        png=_png(frame, wide, tall),
        width=wide,
        height=tall,
        masks=tuple(_scaled(outline, wide / width, tall / height) for outline in masks),
        placement=Placement(0, 0, wide, tall, image.stored or StoredSize(height, width)),
    )


def _png(frame: DisplayFrame, width: int, height: int) -> bytes:
    picture = Image.fromarray(frame)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _scaled(outline: Outline, across: float, down: float) -> Outline:
    return tuple((round(x * across), round(y * down)) for x, y in outline)
