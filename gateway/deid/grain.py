"""Step 3 of 7: fine grain in a picture, and the print that drowns in it.

Grain is noise in which neighbouring pixels are independent, as a detector's. The text detector's network answers to
much of it as if none were there. What helps, as measured on print of two to three times the contrast of the grain: a
little smoothing before print is raised, and more raising; and a look at the line alone. Where it may stand is told by
the grain's energy, which print doubles along a line. Both are done where the grain is more than seven grey levels,
which is rare in clinical pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.deid.regions import TextRegion
    from gateway.ingest.image import DisplayFrame

Grain = npt.NDArray[np.float32]
"""Standard deviation of the grain, grey levels, [height, width] of the picture; 0 where it is none to speak of."""
Place: TypeAlias = tuple[slice, slice]
"""Rows and columns."""

_LEAST = 7.0  # grey levels
_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_DEVIATION = 1.2533 / 6  # of the grain, from the kernel's mean magnitude; J. Immerkaer, CVIU 64 (1996), 300-302
_BLOCK, _OPENED = 16, 5  # pixels, and blocks: what is smaller than the second is print or an edge, not grain
_SOFT, _GAIN = 0.7, 3.0

_BAND, _NEIGHBOURHOOD = 1.0, 31  # what is between these two scales is strokes
_WHITE = 0.296  # standard deviation left in that band of grain that is measured as 1
_CLIP = 6.0
_LINE = (49, 9)  # length and height of the window in which energy is averaged
_EDGE, _PEAK = 1.7, 2.7  # energy in it, of grain 1: where a line ends, and what it must reach; grain reaches 2.2
_KNOWN = 3.0  # pixels around text that is known
_ENDS_ACROSS, _ENDS_ALONG = 0.4, 0.3
_LEAST_TALL, _MOST_TALL, _LONG = 6, 44, 2.0  # pixels of a line's height, and heights of its length


def grain(picture: DisplayFrame) -> Grain | None:
    """The grain of a picture, uint8 [height, width] or [height, width, 2 or 3]; None if it has none to speak of."""
    grey = _grey(picture)
    height, width = grey.shape
    rough = cv2.convertScaleAbs(cv2.filter2D(grey, cv2.CV_16S, _KERNEL)).astype(np.float32)
    blocks = cv2.resize(rough, (max(1, width // _BLOCK), max(1, height // _BLOCK)), interpolation=cv2.INTER_AREA)
    kernel = np.ones((_OPENED, _OPENED), np.uint8)
    blocks = cv2.morphologyEx(blocks * _DEVIATION, cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_REPLICATE)
    if float(blocks.max()) < _LEAST:
        return None
    noise = np.asarray(cv2.resize(blocks, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    noise[noise < _LEAST] = 0
    return noise


def calmed(picture: DisplayFrame, raised: DisplayFrame, noise: Grain) -> DisplayFrame:
    """``raised``, and where there is grain the picture with less of it and print raised further."""
    soft = cv2.GaussianBlur(picture, (0, 0), _SOFT)
    mean = cv2.blur(soft, (_NEIGHBOURHOOD, _NEIGHBOURHOOD))
    strong = cv2.addWeighted(soft, 1 + _GAIN, mean, -_GAIN, 0)
    grained = noise > 0
    return np.where(grained if picture.ndim == 2 else grained[:, :, None], strong, raised)


def lines(picture: DisplayFrame, noise: Grain, known: Iterable[TextRegion] = ()) -> list[Place]:
    """Where the grain's energy is that of a line of print, lying or standing: close around it.

    Args:
        picture: As it is looked at.
        noise: Its grain.
        known: Text whose energy does not count.
    """
    grey = _grey(picture)
    mean = cv2.blur(grey, (_NEIGHBOURHOOD, _NEIGHBOURHOOD))
    band = np.asarray(cv2.subtract(cv2.GaussianBlur(grey, (0, 0), _BAND), mean, dtype=cv2.CV_32F), dtype=np.float32)
    energy: npt.NDArray[np.float32] = np.minimum((band / (np.maximum(noise, _LEAST) * _WHITE)) ** 2, _CLIP)
    energy[noise == 0] = 0
    for region in known:
        cv2.fillPoly(energy, [np.rint(region.corners(_KNOWN)).astype(np.int32)], 1.0)
    return [*_along(energy, stands=False), *_along(energy, stands=True)]


def _along(energy: npt.NDArray[np.float32], *, stands: bool) -> list[Place]:
    mean = cv2.blur(energy, _LINE[::-1] if stands else _LINE, borderType=cv2.BORDER_REFLECT)
    if not (mean > _PEAK).any():
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mean > _EDGE).astype(np.uint8))
    found = []
    for label in range(1, count):
        left, top, width, height = (int(value) for value in stats[label][:4])
        window = (slice(top, top + height), slice(left, left + width))
        if mean[window][labels[window] == label].max() < _PEAK:
            continue
        part = energy[window].T if stands else energy[window]
        across = _beyond(cv2.blur(part.mean(1), (1, 3)).ravel(), _ENDS_ACROSS, 100)
        along = _beyond(cv2.blur(part[across].mean(0), (1, 15)).ravel(), _ENDS_ALONG, 90)
        tall, long = across.stop - across.start, along.stop - along.start
        if _LEAST_TALL <= tall <= _MOST_TALL and long >= _LONG * tall:
            rows, columns = (along, across) if stands else (across, along)
            found.append((_moved(rows, top), _moved(columns, left)))
    return found


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


def _beyond(profile: npt.NDArray[np.float32], share: float, percentile: float) -> slice:
    """From the first to the last place at which a profile is above grain by a share of what it is at its height."""
    above = np.flatnonzero(profile > 1 + share * (np.percentile(profile, percentile) - 1))
    return slice(int(above[0]), int(above[-1]) + 1) if len(above) else slice(0, 0)


def _grey(picture: DisplayFrame) -> DisplayFrame:
    if picture.ndim == 2:
        return picture
    if picture.shape[2] == 2:  # two renderings of grey
        return picture[:, :, 0]
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
