"""Step 3 of 7: what lies between two parts of one line of print: a short gap may hide some of it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from gateway.deid.regions import TextRegion

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONG = 2.0  # heights: one of the two parts is so long, so it is a line and no single letter
_ALIKE = 1.6  # times as tall at most is the one as the other
_BESIDE = 0.6  # of the lesser height stand at the same height
_GAP = 2.0  # heights


class _Part(NamedTuple):
    """A region that lies or stands straight: along the line, and across it."""

    start: float
    end: float
    top: float
    bottom: float
    score: float

    @property
    def tall(self) -> float:
        return self.bottom - self.top

    @property
    def is_line(self) -> bool:
        return self.end - self.start >= _LONG * self.tall


def bridges(regions: list[TextRegion]) -> list[TextRegion]:
    """A region for each short gap between two that are parts of one line."""
    lying = [_part(region, standing=False) for region in regions]
    standing = [_part(region, standing=True) for region in regions]
    found = [TextRegion(centre, size, 0.0, score) for centre, size, score in _gaps(lying)]
    found += [TextRegion(centre[::-1], size[::-1], 0.0, score) for centre, size, score in _gaps(standing)]
    return found


def _part(region: TextRegion, *, standing: bool) -> _Part:
    corners = region.corners()
    (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    box = (top, bottom, left, right) if standing else (left, right, top, bottom)
    return _Part(*box, region.score)


def _gaps(parts: list[_Part]) -> Iterator[tuple[tuple[float, float], tuple[float, float], float]]:
    """Centre and size, along and across, and the lesser score."""
    parts = sorted(parts)
    for place, one in enumerate(parts):
        reach = one.end + _GAP * _ALIKE * one.tall  # what starts beyond it is too far, and so is all that follows
        for other in islice(parts, place + 1, None):
            if other.start > reach:
                break
            yield from _gap(one, other)


def _gap(one: _Part, other: _Part) -> Iterator[tuple[tuple[float, float], tuple[float, float], float]]:
    gap, tall = other.start - one.end, max(one.tall, other.tall)
    if not 0 < gap <= _GAP * tall or not (one.is_line or other.is_line):
        return
    beside = min(one.bottom, other.bottom) - max(one.top, other.top)
    if tall > _ALIKE * min(one.tall, other.tall) or beside < _BESIDE * min(one.tall, other.tall):
        return
    top, bottom = min(one.top, other.top), max(one.bottom, other.bottom)
    centre = ((one.end + other.start) / 2, (top + bottom) / 2)
    yield centre, (gap, bottom - top), min(one.score, other.score)
