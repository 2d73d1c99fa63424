"""Step 3 of 7: side markers and technical values in a picture, which a policy may keep.

Detection decides what is masked; reading only decides what of it is kept after all. A region is kept if every character
of it is read with certainty, if the whole of it is on the list, and if nothing else stands beside it on its line: "L"
alone is a side, "L" before "Smith" is an initial.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from gateway.deid.tables import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.deid.reading import Reader
    from gateway.deid.regions import TextRegion
    from gateway.ingest.image import DisplayFrame

_CERTAIN = 0.9  # of every character
_LONGEST = 5.0  # heights: a longer region is not read, and masked
_MOST_READ = 6  # regions read in one look; the others are masked, unread
_STANDING = 1.6  # widths: a region this tall is a line that stands upright, not a letter
_BESIDE = 2.0  # heights to the next region on the same line
_NUMBER = r"\d{1,4}(?:[.,]\d{1,3})?"


class Markers:
    """The list. Each line is a marker as it is printed; ``#`` stands for a number; case and spaces do not count."""

    def __init__(self, lines: Iterable[str]) -> None:
        wanted = [line.split("//")[0].strip() for line in lines]
        patterns = [re.escape(_bare(line)).replace(r"\#", _NUMBER) for line in wanted if line]
        self._pattern = re.compile("|".join(patterns) or r"(?!)")

    def holds(self, text: str) -> bool:
        """Whether the whole text is one of the markers."""
        return self._pattern.fullmatch(_bare(text)) is not None

    def others(self, regions: list[TextRegion], picture: DisplayFrame, reader: Reader) -> list[TextRegion]:
        """The regions without those that are kept."""
        short = [region for region in regions if max(region.size) <= _LONGEST * min(region.size)]
        alone = [region for region in short if not any(_beside(region, other) for other in regions)]
        kept = [region for region in alone[:_MOST_READ] if self._kept(_cut(picture, region), reader)]
        return [region for region in regions if region not in kept]

    def _kept(self, line: DisplayFrame, reader: Reader) -> bool:
        for way in (1, 3) if line.shape[0] > _STANDING * line.shape[1] else (0,):
            reading = reader.read(np.ascontiguousarray(np.rot90(line, way)))
            scores = [sure for one, sure in zip(reading.text, reading.scores, strict=True) if not one.isspace()]
            if scores and min(scores) >= _CERTAIN and self.holds(reading.text):
                return True
        return False


@lru_cache(maxsize=1)
def shipped() -> Markers:
    """The list in ``tables/markers.txt``."""
    return Markers((FOLDER / "markers.txt").read_text(encoding="utf-8").splitlines())


def _bare(text: str) -> str:
    return "".join(text.split()).casefold()


def _cut(picture: DisplayFrame, region: TextRegion) -> DisplayFrame:
    """The region as it stands in the picture: markers are printed along its sides."""
    corners = region.corners()
    (left, top), (right, bottom) = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
    return picture[max(0, top) : bottom + 1, max(0, left) : right + 1]


def _beside(region: TextRegion, other: TextRegion) -> bool:
    """Whether another region continues the line of this one, lying or standing."""
    if other is region:
        return False
    first, second = region.corners(), other.corners()
    gaps = np.maximum(first.min(0), second.min(0)) - np.minimum(first.max(0), second.max(0))
    reach = _BESIDE * min(region.size)
    return bool((gaps[0] < reach and gaps[1] < 0) or (gaps[1] < 0.25 * reach and gaps[0] < 0))
