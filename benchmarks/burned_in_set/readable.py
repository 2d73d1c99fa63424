"""Whether a line of print can be made out: by a recogniser that is told its place and reads it in several ways."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tests.support.tensor_reading import share

if TYPE_CHECKING:
    from gateway.deid.reading import Reader
    from tests.support.planted_text import Picture, Planted

READABLE = 0.5
"""Share of a line's letters and digits, in their order, from which on it counts as read."""
_SMOOTHED = (0.0, 0.7, 1.0, 1.5, 2.0, 3.0)  # standard deviation of a Gaussian, pixels
_MARGINS = (1, 3, 6)
_SCALES = (1.0, 0.5, 3.0)


def can_be_read(line: Planted, reader: Reader) -> bool:
    """By the recogniser alone; the text detector has no part in it."""
    left, top, right, bottom = line.box
    for smoothed, margin, scale in product(_SMOOTHED, _MARGINS, _SCALES):
        picture = cv2.GaussianBlur(line.picture, (0, 0), smoothed) if smoothed else line.picture
        crop = picture[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        crop = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=way)
        for turned in (1, 3) if line.vertical else (0,):
            lying = np.ascontiguousarray(np.rot90(crop, turned))
            if any(share(line.text, reader.read(one).text) >= READABLE for one in (lying, _stretched(lying))):
                return True
    return False


def _stretched(picture: Picture) -> Picture:
    low, high = np.percentile(picture, (1, 99)).tolist()
    return np.clip((picture.astype(np.float32) - low) * 255 / max(high - low, 1), 0, 255).astype(np.uint8)
