"""Step 3 of 7: whether a line of print goes on beyond where it was found.

Print that runs from a quiet ground into a rough one is found where it is quiet alone. So what lies beyond the end of a
line, if it is not plain, is looked at once more with the end of the line and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from gateway.deid.grain import Grain, Place
    from gateway.deid.regions import TextRegion
    from gateway.ingest.image import DisplayFrame

_LONG = 2.0  # heights: a shorter region is no line
_STRAIGHT = 1.5  # times its own area, the upright box of a line that lies or stands
_FEWEST = 6  # pixels beyond an end in which there can be more of a line
_PLAIN, _FINE = 8.0, 9  # grey levels off the mean of so many pixels: a ground that differs less holds no print
_NEXT, _BEFORE, _AFTER = 2.0, 3.0, 8.0  # heights: beyond the end for that, and what is looked at on both sides of it
_ROOM = 4  # pixels above and below the line
_GAP = 1.0  # heights without print, within a line


@dataclass(frozen=True, slots=True)
class Ending:
    """One end of a line.

    Attributes:
        place: What is looked at.
        line: First and last pixel (exclusive) of the line's height.
        end: Of the line, along it.
        stands: Whether it stands upright.
        forward: Whether it goes on to the right or down.
    """

    place: Place
    line: tuple[int, int]
    end: int
    stands: bool
    forward: bool

    def more(self, along: npt.NDArray[np.float32], least: float) -> tuple[float, float, float, float] | None:
        """Left, top, width, height of what follows; None for nothing.

        Args:
            along: The highest value of the network's map of ``place`` at each pixel along the line.
            least: What it is at print.
        """
        rows, columns = self.place
        start = self.end - (rows.start if self.stands else columns.start)
        beyond = along[start:] if self.forward else along[:start][::-1]
        tall = self.line[1] - self.line[0]
        print_at = np.flatnonzero(beyond > least)
        breaks = np.flatnonzero(np.diff(print_at, prepend=0) > _GAP * tall)
        length = int(print_at[-1 if not len(breaks) else breaks[0] - 1]) + 1 if len(print_at) else 0
        if not length or (len(breaks) and breaks[0] == 0):
            return None
        first = self.end if self.forward else self.end - length
        across = (float(self.line[0]), float(tall))
        if self.stands:
            return across[0], float(first), across[1], float(length)
        return float(first), across[0], float(length), across[1]


def endings(regions: list[TextRegion], picture: DisplayFrame, noise: Grain | None) -> Iterator[Ending]:
    """The ends of lines beyond which there is something, and no other line. Lines in grain are found otherwise."""
    boxes = [_box(region) for region in regions]
    limits = picture.shape[:2]
    for region, (left, top, right, bottom) in zip(regions, boxes, strict=True):
        short, long = sorted(region.size)
        straight = (right - left) * (bottom - top) <= _STRAIGHT * short * long
        if long < _LONG * short or not straight:
            continue
        stands = bottom - top > right - left
        line, span = ((left, right), (top, bottom)) if stands else ((top, bottom), (left, right))
        line = (max(0, line[0]), min(line[1], limits[1 if stands else 0]))
        for forward, end in ((False, max(0, span[0])), (True, min(span[1], limits[0 if stands else 1]))):
            most = limits[0 if stands else 1]
            tall = line[1] - line[0]
            beyond = _ahead(end, 0, _NEXT * tall, most, forward=forward)
            if beyond.stop - beyond.start < _FEWEST:
                continue
            after = (beyond, slice(*line)) if stands else (slice(*line), beyond)
            if (noise is not None and noise[after].any()) or any(_inside(after, box) for box in boxes):
                continue
            if _roughness(picture[after]) < _PLAIN:
                continue
            ahead = _ahead(end, _BEFORE * tall, _AFTER * tall, most, forward=forward)
            across = slice(max(0, line[0] - _ROOM), min(line[1] + _ROOM, limits[1 if stands else 0]))
            yield Ending((ahead, across) if stands else (across, ahead), line, end, stands, forward)


def _roughness(ground: DisplayFrame) -> float:
    """Standard deviation from the neighbourhood's mean, grey levels."""
    level = ground.astype(np.float32)
    return float((level - cv2.blur(level, (_FINE, _FINE))).std())


def _ahead(end: int, back: float, on: float, most: int, *, forward: bool) -> slice:
    """From ``back`` before an end to ``on`` after it."""
    first, last = (end - back, end + on) if forward else (end - on, end + back)
    return slice(max(0, round(first)), min(most, round(last)))


def _box(region: TextRegion) -> tuple[int, int, int, int]:
    corners = region.corners()
    (left, top), (right, bottom) = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _inside(place: Place, box: tuple[int, int, int, int]) -> bool:
    """Whether the middle of a place lies in a box."""
    rows, columns = place
    x, y = (columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2
    return bool(box[0] <= x < box[2] and box[1] <= y < box[3])
