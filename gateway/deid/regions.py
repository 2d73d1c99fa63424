"""Step 3 of 7: a region of text in a picture, and the geometry of looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from gateway.deid.canvas import Picture
    from gateway.ingest.image import DisplayFrame


@dataclass(frozen=True, slots=True)
class TextRegion:
    """One region of text, as a rectangle that may be turned.

    Attributes:
        centre: x, y in pixels of the picture.
        size: Its two sides in pixels.
        angle: Degrees, as cv2.minAreaRect gives it.
        score: Highest value of the network's map in it, 0 to 1.
    """

    centre: tuple[float, float]
    size: tuple[float, float]
    angle: float
    score: float

    def corners(self, pad: float = 0.0) -> npt.NDArray[np.float32]:
        """Its four corners, [4, 2], each side ``pad`` pixels further out."""
        width, height = self.size
        box = (self.centre, (width + 2 * pad, height + 2 * pad), self.angle)
        return np.asarray(cv2.boxPoints(box), dtype=np.float32)


def straightened(picture: DisplayFrame, region: TextRegion) -> DisplayFrame:
    """What a region shows, its longer side lying."""
    width, height = max(1, round(region.size[0])), max(1, round(region.size[1]))
    corners = region.corners()
    target = np.array([[0, height - 1], [0, 0], [width - 1, 0]], np.float32)
    crop = cv2.warpAffine(picture, cv2.getAffineTransform(corners[:3], target), (width, height))
    return np.asarray(np.rot90(crop) if height > width else crop, dtype=np.uint8)


def resized(region: TextRegion, look: Picture, frame: Picture) -> TextRegion:
    """In the frame's own pixels. The two factors differ by rounding only, so the angle stays."""
    x, y = frame.shape[1] / look.shape[1], frame.shape[0] / look.shape[0]
    scale = (x + y) / 2
    size = (region.size[0] * scale, region.size[1] * scale)
    return TextRegion((region.centre[0] * x, region.centre[1] * y), size, region.angle, region.score)


def turned_back(region: TextRegion, width: int) -> TextRegion:
    """In a picture ``width`` pixels wide of which the look was turned by a quarter, counterclockwise."""
    x, y = region.centre
    return TextRegion((width - 1 - y, x), region.size, region.angle + 90, region.score)


def stands(region: TextRegion) -> bool:
    """Whether it is taller than it is wide."""
    across, down = np.ptp(region.corners(), axis=0)
    return bool(down > 1.2 * across)
