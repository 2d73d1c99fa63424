"""Step 4 of 7: where a frame's picture stands in the tensor, and the way back to the image's own pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gateway.ingest.image import StoredSize

if TYPE_CHECKING:
    import numpy.typing as npt

    from gateway.models.spec import InputSpec

_UPRIGHT = {
    1: (0, 0, 0),
    2: (0, 1, 0),
    3: (0, 1, 1),
    4: (0, 0, 1),
    5: (1, 0, 0),
    6: (1, 0, 1),
    7: (1, 1, 1),
    8: (1, 1, 0),
}
"""EXIF orientation to what leads from the upright picture back to the stored one: are x and y exchanged, and is then x
counted from the right, and y from the bottom (CIPA DC-008, tag 0x0112)."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One frame's picture in the tensor. Coordinates are of pixels' edges: 0 is the left edge of the first pixel.

    Attributes:
        left, top: Pixels of the tensor before the picture.
        width, height: Of the picture in the tensor, pixels.
        stored: The picture in the file.
    """

    left: int
    top: int
    width: int
    height: int
    stored: StoredSize

    @classmethod
    def of(cls, frame: tuple[int, ...], spec: InputSpec, stored: StoredSize | None) -> Placement:
        """Where ``to_tensor`` puts a frame.

        Args:
            frame: The display frame's shape: height, width.
            spec: The model's input. With ``letterbox`` the picture keeps its aspect ratio, as large as it fits, in the
                middle (an odd pixel more to the right and below), enlarged too if it is smaller.
            stored: The picture in the file; None if it is as the frame is.
        """
        height, width = frame[:2]
        stored = stored or StoredSize(height, width)
        if spec.resize == "squash":
            return cls(0, 0, spec.width, spec.height, stored)
        scale = min(spec.width / width, spec.height / height)
        wide, tall = (
            max(1, min(round(side * scale), most)) for side, most in ((width, spec.width), (height, spec.height))
        )
        return cls((spec.width - wide) // 2, (spec.height - tall) // 2, wide, tall, stored)

    def to_stored(self, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Boxes of the tensor in pixels of the stored picture, cut to it.

        Args:
            boxes: [n, 4]: x and y of two opposite corners.

        Returns:
            [n, 4]: smallest x and y, largest x and y; a box beside the picture has no width or no height.
        """
        corners = boxes.reshape(-1, 2, 2)
        shares = np.clip((corners - (self.left, self.top)) / (self.width, self.height), 0, 1)
        swapped, from_right, from_bottom = _UPRIGHT[self.stored.orientation]
        if swapped:
            shares = shares[:, :, ::-1]
        shares = np.abs(shares - (from_right, from_bottom))
        return _boxes(shares * (self.stored.columns, self.stored.rows))

    def from_stored(self, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The way back: boxes of the stored picture in pixels of the tensor.

        Args:
            boxes: [n, 4]: x and y of two opposite corners.

        Returns:
            [n, 4]: smallest x and y, largest x and y.
        """
        shares = boxes.reshape(-1, 2, 2) / (self.stored.columns, self.stored.rows)
        swapped, from_right, from_bottom = _UPRIGHT[self.stored.orientation]
        shares = np.abs(shares - (from_right, from_bottom))
        if swapped:
            shares = shares[:, :, ::-1]
        return _boxes(shares * (self.width, self.height) + (self.left, self.top))


def _boxes(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
