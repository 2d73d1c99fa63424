"""Step 3 of 7: where text stands in a picture, by the PP-OCRv6 text detector whose weights ship in the rapidocr wheel.

What the network gives is a map of how likely each pixel lies in the shrunken middle of a text line (differentiable
binarization, arXiv 1911.08947). One look finds print that lies and print that stands upright, in either polarity; how
the picture is prepared for that is in ``canvas.py``. Detection decides that something is masked. Reading clears only
what is far larger than print mostly is: those shapes are text if something can be read in them, else anatomy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from gateway.deid.bridges import bridges
from gateway.deid.canvas import MARGIN, batch, pixels, scaled, tiles
from gateway.deid.endings import endings
from gateway.deid.grain import grain, lines
from gateway.deid.network import network
from gateway.deid.reading import Reader
from gateway.deid.regions import TextRegion, resized, stands, straightened, turned_back
from gateway.ingest.memory import give_back

if TYPE_CHECKING:
    from gateway.deid.canvas import Picture
    from gateway.deid.grain import Grain, Place
    from gateway.deid.markers import Markers
    from gateway.ingest.image import DisplayFrame

__all__ = ["TextDetector", "TextRegion"]

_EDGE = 0.05  # where a region ends on the map
_PEAK = 0.3  # what its middle must reach; rapidocr's own threshold
_NOTHING = 2  # grey levels between the darkest and the brightest pixel of a plain surface
_MIN_AREA, _THIN = 4, 2  # pixels on the map; what is as thin as that is no print unless it is sure
_UNCLIP = 1.6  # how far the detector's training shrank its regions (ratio of area to perimeter)

_LARGE_SHARE, _LARGE = 0.17, 60  # of the look's shorter side, and pixels: taller print is rare, and anatomy is not
_HUGE_SHARE = 0.25  # of the same: organs are, and two rings or strokes in them are soon read as a number
_LINE = 4.0  # longer than this many heights: a line, however large
_WEAK = 0.7  # a blot that stands alone, no longer than twice its height, and no surer than this is doubtful too
_TALL, _WEAK_TALL = 40, 0.95  # or than this, if it is so tall
_READ_SCORE = 0.9  # measured: print 0.91 or more, a dental arch 0.86, a knot of vessels 0.69
_READ_CHARACTERS = 2
_FAINT_SCORE, _FAINT_VARIETY = 0.78, 5  # or so sure of so many different ones: shapes read as "0000" or "ooo"
_MOST_READ = 6  # regions read in one look; of more than these all count as text, unread
_TRACE, _TRACE_ROWS = 0.02, 3  # on the map: so much, in more rows than these
_SAME_PRINT = 2.0  # times as tall at most, what a band shows is the print of the piece
_MOST_BANDS = 0.5  # of a picture's width; beyond it the whole picture is turned
_MOST_DROWNED = 16  # lines in grain that are looked at alone
_ROOM, _ALONG = 4, 0.4  # pixels around such a line, and the share of its length that must be print
_MOST_CONTINUED = 0.1  # of the picture's pixels are looked at again at the ends of lines
_OVERVIEW = 512  # the look at all of a picture that takes tiles, for print that is large in them


class TextDetector:
    """Two network sessions. Loading takes about 0.3 s; make one and keep it."""

    def __init__(self) -> None:
        self._network = network("PP-OCRv6_det_small.onnx")
        self._input = self._network.get_inputs()[0].name
        self._reader = Reader()

    def regions(
        self, frame: Picture, upright: int, turned: int | None = None, keep: Markers | None = None
    ) -> list[TextRegion]:
        """Every region of text.

        Args:
            frame: uint8 [height, width] or [height, width, 3], or two renderings of a grey one.
            upright: Pixels to which the frame's longer side is scaled for the look; it is doubled at most. Above 1.25
                million pixels the look is made in overlapping tiles, and at all of it once more, small.
            turned: The same for a further look at the frame turned by a quarter; None for none.
            keep: Markers that are no regions if they are read with certainty; None for none.

        Returns:
            Regions in the frame's own pixels.
        """
        picture = scaled(frame, upright)
        places = tiles(*picture.shape[:2])
        found = []
        for rows, columns in places:
            for region in self._look(picture[rows, columns], keep):
                x, y = region.centre
                found.append(TextRegion((x + columns.start, y + rows.start), region.size, region.angle, region.score))
            if len(places) > 1:  # beside a large frame, what a look leaves behind counts
                give_back()
        found = [resized(region, picture, frame) for region in found]
        enlarged = picture.shape[0] > frame.shape[0]  # that makes grain soft, so none is seen any more
        if enlarged and (noise := grain(frame[:, :])) is not None:
            found += self._drowned(frame[:, :], noise, found)
        if len(places) > 1:
            small = scaled(picture, _OVERVIEW)[:, :]
            found += [resized(region, small, frame) for region in self._look(small, keep)]
            give_back()
        if turned is not None:
            look = scaled(frame, turned)[:, :]
            quarter = np.ascontiguousarray(np.rot90(look))
            found += [resized(turned_back(region, look.shape[1]), look, frame) for region in self._look(quarter, keep)]
        return found

    def _look(self, picture: DisplayFrame, keep: Markers | None) -> list[TextRegion]:
        text, likely = self._text(picture)
        # Faint print that stands upright is found in pieces, and whole in a look at the turned band around a piece.
        standing = [region for region in text if stands(region)]
        for start, end in _bands(standing, likely):
            band = picture[:, start:end]
            tallest = max(min(region.size) for region in standing if start <= region.centre[0] < end)
            for region in self._text(np.ascontiguousarray(np.rot90(band)))[0]:
                if min(region.size) > _SAME_PRINT * tallest:
                    continue
                back = turned_back(region, band.shape[1])
                text.append(replace(back, centre=(back.centre[0] + start, back.centre[1])))
        return text if keep is None else keep.others(text, picture, self._reader)

    def _text(self, picture: DisplayFrame) -> tuple[list[TextRegion], npt.NDArray[np.float32]]:
        """Its regions, and the network's map [height, width]."""
        height, width = picture.shape[:2]
        noise = grain(picture)
        likely = self._likely(picture, noise)
        candidates = _candidates(likely)
        limit = min(_LARGE, _LARGE_SHARE * min(height, width))
        large = [
            region for region in candidates if limit < min(region.size) and max(region.size) < _LINE * min(region.size)
        ]
        small = [region for region in candidates if region not in large]
        blots = [region for region in small if _blot(region, small)]
        text = [region for region in small if region not in blots]
        text += self._print(large, picture, _READ_CHARACTERS) + self._print(blots, picture, 1)
        text = [region for region in text if not _plain(picture, region)]
        if noise is not None:
            text += self._drowned(picture, noise, text)
        text += self._continued(picture, text, noise)
        return text + bridges(text), likely

    def _likely(self, picture: DisplayFrame, noise: Grain | None, *, alone: bool = False) -> npt.NDArray[np.float32]:
        """The network's map of a picture, [height, width]."""
        height, width = picture.shape[:2]
        (output,) = self._network.run(None, {self._input: batch(picture, noise, alone=alone)})
        likely: npt.NDArray[np.float32] = output[0, 0, MARGIN : MARGIN + height, MARGIN : MARGIN + width]
        return likely

    def _drowned(self, picture: DisplayFrame, noise: Grain, text: list[TextRegion]) -> list[TextRegion]:
        """Lines in grain that the network finds where it is shown nothing else."""
        found = []
        for rows, columns in lines(picture, noise, text)[:_MOST_DROWNED]:
            near: Place = (
                slice(max(0, rows.start - _ROOM), rows.stop + _ROOM),
                slice(max(0, columns.start - _ROOM), columns.stop + _ROOM),
            )
            tall, wide = rows.stop - rows.start, columns.stop - columns.start
            for calmed in (noise[near], None):  # faint print needs it, other print is lost by it
                along = self._alone(picture[near], calmed, stands=tall > wide)
                if float((along > _PEAK).mean()) > _ALONG:
                    centre = (columns.start + (wide - 1) / 2, rows.start + (tall - 1) / 2)
                    found.append(TextRegion(centre, (float(wide), float(tall)), 0.0, float(along.max())))
                    break
        return found

    def _continued(self, picture: DisplayFrame, text: list[TextRegion], noise: Grain | None) -> list[TextRegion]:
        """What follows lines that were found in part."""
        found, left = [], _MOST_CONTINUED * picture.shape[0] * picture.shape[1]
        for ending in endings(text, picture, noise):
            part = picture[ending.place]
            left -= pixels(*sorted(part.shape[:2]))
            if left < 0:
                break
            if (more := ending.more(self._alone(part, None, stands=ending.stands), _PEAK)) is not None:
                x, y, width, height = more
                found.append(TextRegion((x + width / 2, y + height / 2), (width, height), 0.0, 1.0))
        return found

    def _alone(self, part: DisplayFrame, noise: Grain | None, *, stands: bool) -> npt.NDArray[np.float32]:
        """The highest value of the network's map at each pixel along a line with nothing around it; turned to lie."""
        if stands:
            part = np.ascontiguousarray(np.rot90(part))
            noise = None if noise is None else np.ascontiguousarray(np.rot90(noise))
        along: npt.NDArray[np.float32] = self._likely(np.ascontiguousarray(part), noise, alone=True).max(0)
        return along

    def _print(self, doubtful: list[TextRegion], picture: DisplayFrame, fewest: int) -> list[TextRegion]:
        """Those in which enough can be read, one more in weak ones that are huge.

        Where that is so in one of them, single letters beside it count too.
        """
        if len(doubtful) > _MOST_READ:
            return doubtful
        letters = [self._letters(picture, region) for region in doubtful]
        huge = _HUGE_SHARE * min(picture.shape[:2])
        least = [fewest + (min(region.size) > huge and region.score < _WEAK) for region in doubtful]
        if any(count >= enough for count, enough in zip(letters, least, strict=True)):
            least = [1] * len(doubtful)
        return [region for region, count, enough in zip(doubtful, letters, least, strict=True) if count >= enough]

    def _letters(self, picture: DisplayFrame, region: TextRegion) -> int:
        """Different letters and digits that are read with certainty: either way up, along either side if about square.

        One that is read twice is no more than one: a head's two ventricles are a perfect "11".
        """
        crop = straightened(picture, region)
        most = 0
        for quarter in (0, 2) if crop.shape[1] > 1.5 * crop.shape[0] else (0, 2, 1, 3):
            reading = self._reader.read(np.ascontiguousarray(np.rot90(crop, quarter)))
            scores = reading.letters()
            score = sum(scores) / max(1, len(scores))
            if score >= _READ_SCORE or (score >= _FAINT_SCORE and reading.variety() >= _FAINT_VARIETY):
                most = max(most, reading.variety())
            if most > _READ_CHARACTERS:
                break
        return most


def _candidates(likely: npt.NDArray[np.float32]) -> list[TextRegion]:
    if not (likely >= _PEAK).any():
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats((likely > _EDGE).astype(np.uint8))
    found = []
    for label in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[label])
        if area < _MIN_AREA:
            continue
        part = likely[top : top + height, left : left + width]
        window = labels[top : top + height, left : left + width] == label
        score = float(part[window].max())
        if score < (_WEAK if min(width, height) <= _THIN else _PEAK):
            continue
        (x, y), (first, second), angle = cv2.minAreaRect(cv2.findNonZero(window.astype(np.uint8)))
        first, second = first + 1, second + 1  # minAreaRect measures between pixel centres
        out = first * second * _UNCLIP / (2 * (first + second))
        found.append(TextRegion((x + left, y + top), (first + 2 * out, second + 2 * out), angle, score))
    return found


def _bands(regions: list[TextRegion], likely: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    """First and last column (exclusive) of the bands around regions beyond whose ends there is a trace of more.

    One band for all columns if they are much of the width.
    """
    width = likely.shape[1]
    bands: list[tuple[int, int, list[TextRegion]]] = []
    for region in sorted(regions, key=lambda one: float(one.corners()[:, 0].min())):
        left, right = region.corners()[:, 0].min(), region.corners()[:, 0].max()
        margin = 0.75 * (right - left) + 4
        start, end, members = max(0, int(left - margin)), min(width, int(right + margin) + 1), [region]
        if bands and start < bands[-1][1]:
            before = bands.pop()
            start, end, members = before[0], max(end, before[1]), [*before[2], region]
        bands.append((start, end, members))
    traced = [(start, end) for start, end, members in bands if _trace(members, likely[:, start:end])]
    return [(0, width)] if sum(end - start for start, end in traced) > _MOST_BANDS * width else traced


def _trace(regions: list[TextRegion], likely: npt.NDArray[np.float32]) -> bool:
    """Whether a band of the map shows something above or below its regions."""
    outside = likely.max(axis=1)
    for region in regions:
        down = region.corners()[:, 1]
        outside[max(0, int(down.min())) : max(0, int(down.max()) + 1)] = 0
    return len(regions) > 1 or int((outside > _TRACE).sum()) > _TRACE_ROWS


def _plain(picture: DisplayFrame, region: TextRegion) -> bool:
    """Whether there is nothing within a region: a bar, as a mask is one."""
    crop = straightened(picture, region)
    height, width = crop.shape[:2]
    inside = crop[height // 4 : height - height // 4, width // 10 : width - width // 10]
    return bool((np.ptp(inside, axis=(0, 1)) <= _NOTHING).all())


def _blot(region: TextRegion, others: list[TextRegion]) -> bool:
    """Whether a region is weak, about square, and far from every other: nothing of a line of print."""
    short, long = sorted(region.size)
    if region.score >= (_WEAK if short < _TALL else _WEAK_TALL) or long > 2 * short:
        return False
    x, y = region.centre
    reach = [2 * long + max(other.size) / 2 for other in others]
    return all(
        other is region or max(abs(other.centre[0] - x), abs(other.centre[1] - y)) > far
        for other, far in zip(others, reach, strict=True)
    )
