"""Step 3 of 7: one detector for all who look, and the looks at a frame that is given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from gateway.deid.text import TextDetector
from gateway.errors import GatewayError, NotSanitizable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.deid.markers import Markers
    from gateway.deid.pixel_policy import ClassLooks
    from gateway.deid.regions import TextRegion
    from gateway.ingest.image import DisplayFrame

Cover = npt.NDArray[np.bool_]
"""Where a frame is masked, [rows, columns]."""

_AT_LEAST = 512
"""Pixels to which small frames are enlarged, by two at most."""

_INSIDE = 0.5


class Look:
    """The text detector, loaded at the first look and kept.

    Args:
        keep: Markers that stay as they are in what is given back; None for none.
    """

    def __init__(self, keep: Markers | None = None) -> None:
        self._keep = keep
        self._detector: TextDetector | None = None

    def regions(
        self, frame: DisplayFrame, upright: int, turned: int | None = None, keep: Markers | None = None
    ) -> list[TextRegion]:
        """As ``TextDetector.regions``. Raises NotSanitizable if the detector fails."""
        try:
            if self._detector is None:
                self._detector = TextDetector()
            return self._detector.regions(frame, upright, turned, keep)
        except (GatewayError, MemoryError):
            raise
        except Exception as error:
            raise NotSanitizable("The text detector failed, and the policy is to refuse then") from error

    def cover(
        self, pictures: Iterable[DisplayFrame], looks: ClassLooks, pad: int, *, masked: Cover | None = None
    ) -> tuple[Cover | None, int]:
        """Where text stands in a frame.

        Args:
            pictures: Renderings of one frame.
            looks: How closely they are looked at.
            pad: Pixels of the look by which a region grows on every side.
            masked: What is masked already: a region of which half lies in it is the edge of a mask, not text.

        Returns:
            The cover, None without text; and the number of regions.
        """
        cover, count = None, 0
        for picture in pictures:
            side = max(picture.shape[:2])
            upright = min(max(side, min(2 * side, _AT_LEAST)), looks.longest)
            found = self.regions(picture, upright, keep=self._keep)
            if masked is not None:
                found = [region for region in found if not _lies_in(region, masked)]
            count += len(found)
            if found:
                drawn = covered(picture.shape, found, pad * side / upright)
                cover = drawn if cover is None else cover | drawn
        return cover, count


def _lies_in(region: TextRegion, masked: Cover) -> bool:
    drawn = covered(masked.shape, [region], 0)
    area = int(np.count_nonzero(drawn))
    return not area or int(np.count_nonzero(drawn & masked)) >= _INSIDE * area


def covered(shape: tuple[int, ...], regions: Iterable[TextRegion], pad: float) -> Cover:
    """The pixels of some regions, each ``pad`` pixels larger on every side."""
    drawn: npt.NDArray[np.uint8] = np.zeros(shape[:2], np.uint8)
    for region in regions:
        cv2.fillPoly(drawn, [np.rint(region.corners(pad)).astype(np.int32)], 1)
    return drawn.view(np.bool_)  # fillPoly writes 0 and 1
