"""Step 3 of 7: one detector for all who look, and the looks at a frame that is given back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from gateway.deid.canvas import ONE_LOOK, scaled
from gateway.deid.regions import resized
from gateway.deid.text import TextDetector
from gateway.errors import GatewayError, NotSanitizable
from gateway.ingest.memory import give_back

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.deid.canvas import Picture
    from gateway.deid.markers import Markers
    from gateway.deid.pixel_policy import ClassLooks
    from gateway.deid.regions import TextRegion
    from gateway.ingest.mask import Cover, Mask

_AT_LEAST = 512
"""Pixels to which small frames are enlarged, by two at most."""

_INSIDE = 0.5
_NEAR = 128
"""Pixels around a mask in which is looked again: print is found by what stands around it."""
_MOST, _SMALL = 0.7, 1_200_000
_CELL = 8
"""Pixels, as many as in a byte of a mask: surroundings are told apart on a grid, for the labels of a large frame would
take twice its memory."""
Place: TypeAlias = tuple[slice, slice]
_WHOLE: Place = (slice(None), slice(None))


class Look:
    """The text detector, loaded at the first look and kept.

    Args:
        keep: Markers that stay as they are in what is given back; None for none.
    """

    def __init__(self, keep: Markers | None = None) -> None:
        self._keep = keep
        self._detector: TextDetector | None = None

    def regions(
        self, frame: Picture, upright: int, turned: int | None = None, keep: Markers | None = None
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
        self, pictures: Iterable[Picture], looks: ClassLooks, pad: int, *, masked: Mask | None = None
    ) -> tuple[Cover | None, int]:
        """Where text stands in a frame.

        Args:
            pictures: Renderings of one frame.
            looks: How closely they are looked at.
            pad: Pixels of the look by which a region grows on every side.
            masked: What is masked already. In a large picture it is looked around that alone: the rest is as it was
                when it was looked at before. A region of which half lies in it is the edge of a mask, not text.

        Returns:
            The cover, None without text; and the number of regions.
        """
        cover, count = None, 0
        for picture in pictures:
            side = max(picture.shape[:2])
            scale = min(max(side, min(2 * side, _AT_LEAST)), looks.longest) / side
            places = [_WHOLE] if masked is None else _around(masked)
            # What is looked at smaller than it is, is not kept in its own size meanwhile, and never beside the next.
            whole = np.broadcast_to(np.uint8(0), picture.shape)
            look = scaled(picture, max(1, round(scale * side))) if masked is None and scale < 1 else picture
            del picture
            enlarged = scale if look.shape == whole.shape else 1.0
            found = [region for place in places for region in self._regions_in(look, place, enlarged)]
            found = [resized(region, look, whole) for region in found]
            del look
            if masked is not None:
                found = [region for region in found if not _lies_in(region, masked)]
            count += len(found)
            if len(whole) * whole.shape[1] > ONE_LOOK:
                give_back()
            if found:
                cover = covered(whole.shape, found, pad / scale, onto=cover)
        return cover, count

    def _regions_in(self, picture: Picture, place: Place, scale: float) -> list[TextRegion]:
        part = picture if place == _WHOLE else picture[place]
        found = self.regions(part, max(1, round(scale * max(part.shape[:2]))), keep=self._keep)
        left, top = place[1].start or 0, place[0].start or 0
        return [replace(region, centre=(region.centre[0] + left, region.centre[1] + top)) for region in found]


def _around(masked: Mask) -> list[Place]:
    """The surroundings of the masks: a place for each group of them, or the whole where that costs little more.

    Of a small frame always the whole: thin lines of other things look more like print the less stands around them.
    """
    height, width = masked.shape
    if height * width <= _SMALL:
        return [_WHOLE]
    cells = np.bitwise_or.reduceat(masked.bits, range(0, height, _CELL), axis=0) != 0
    reach = 2 * (_NEAR // _CELL) + 1
    near = cv2.dilate(cells.view(np.uint8), np.ones((reach, reach), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(near)
    boxes = [tuple(_CELL * int(value) for value in stats[label][:4]) for label in range(1, count)]
    if sum(across * down for _, _, across, down in boxes) > _MOST * height * width:
        return [_WHOLE]
    return [(slice(top, top + down), slice(left, left + across)) for left, top, across, down in boxes]


def _lies_in(region: TextRegion, masked: Mask) -> bool:
    corners = np.rint(region.corners(0)).astype(np.int32)
    ends = (masked.shape[1], masked.shape[0])
    left, top = np.clip(corners.min(axis=0), 0, ends).tolist()
    right, bottom = np.clip(corners.max(axis=0) + 1, 0, ends).tolist()
    drawn: npt.NDArray[np.uint8] = np.zeros((bottom - top, right - left), np.uint8)
    if drawn.size:
        cv2.fillPoly(drawn, [corners - (left, top)], 1)
    area = int(np.count_nonzero(drawn))
    return not area or int(np.count_nonzero(drawn.view(np.bool_) & masked[top:bottom, left:right])) >= _INSIDE * area


def covered(shape: tuple[int, ...], regions: Iterable[TextRegion], pad: float, *, onto: Cover | None = None) -> Cover:
    """The pixels of some regions, each ``pad`` pixels larger on every side; drawn onto a cover if there is one."""
    drawn: npt.NDArray[np.uint8] = np.zeros(shape[:2], np.uint8) if onto is None else onto.view(np.uint8)
    for region in regions:
        cv2.fillPoly(drawn, [np.rint(region.corners(pad)).astype(np.int32)], 1)
    return drawn.view(np.bool_)  # fillPoly writes 0 and 1
