"""Step 3 of 7: what the detector's network is shown: the picture at a scale, print raised, reference print beside it.

Measured, on generated lines and on pictures without text:

- Subtracting the neighbourhood's mean once more than it is there (unsharp masking with a wide box) doubles the contrast
  of faint print and leaves the picture a picture. Faint vertical lines are found whole that were found in pieces.
- On a picture without text the network takes a head or a pelvis for one giant letter. With ordinary print beside it, it
  has the scale of text to go by. Print that stands upright beside the picture also makes it see vertical print in the
  same look; a second look at the picture turned by a quarter is not needed for that.
- Print that touches the picture's edge needs something beyond it, and some way to the reference print: the edge is
  continued by some pixels.
- One look at two renderings of a grey frame, the first in two of the network's three colours and the second in the
  third, finds print inside, above and below what the window shows as well as a look at each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from gateway.deid.grain import calmed

if TYPE_CHECKING:
    from gateway.deid.grain import Grain, Place
    from gateway.ingest.image import DisplayFrame
    from gateway.ingest.patch import Shown

MARGIN = 4
"""Pixels of the network's input above and left of the picture."""
STRIDE = 32
"""The network's largest; both sides of its input are multiples of it."""

_ENLARGED = 2.0  # at most: beyond it there is nothing more to see
_NEIGHBOURHOOD = 31
_GAP = 12  # pixels below and right of the picture, before the reference print
_STRIP = 16  # with margin and gap a whole stride
_STRIP_PRINT = "REFERENCE 0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ "
_STRIP_SCALE = 0.35
_FEWEST = 5  # strides of the input's width

_ORDER = {(2, 1): (0, 0, 0), (3, 2): (0, 0, 1), (3, 3): (0, 1, 2)}
"""Which planes of a picture the networks' three colours are, by its dimensions and planes."""

ONE_LOOK = 1_200_000  # pixels; above it the network's memory counts, and tiles cost it less time a pixel
_TILE = 1120
_OVERLAP = 80  # more than a line of print is tall: every line stands whole in one tile across its height


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two renderings of one large grey frame, for one look; ``both`` joins them piece by piece, as they are looked at.

    Attributes:
        shown, every: As ``both`` takes them, or to be shown piece by piece.
    """

    shown: DisplayFrame | Shown = field(repr=False)
    every: DisplayFrame | Shown = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the array of both."""
        return (*self.shown.shape, 2)

    def __getitem__(self, place: Place) -> DisplayFrame:
        return both(self.shown[place], self.every[place])


Picture: TypeAlias = "DisplayFrame | Shown | Pair"
"""What can be looked at."""


def scaled(picture: Picture, longest_side: int) -> Picture:
    """The picture with its longer side at ``longest_side`` pixels, enlarged to twice its size at most."""
    height, width = picture.shape[:2]
    factor = min(longest_side / max(height, width), _ENLARGED)
    if factor == 1:
        return picture
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if isinstance(picture, Pair):
        pair = Pair(_resized(picture.shown, size), _resized(picture.every, size))
        return pair if size[0] * size[1] > ONE_LOOK else pair[:, :]
    return _resized(picture, size)


def _resized(picture: DisplayFrame | Shown, size: tuple[int, int]) -> DisplayFrame:
    if not isinstance(picture, np.ndarray):  # one colour of a large frame in memory at a time
        planes = [_resized(plane, size) for plane in picture.planes()]
        return planes[0] if len(planes) == 1 else np.dstack(planes)
    way = cv2.INTER_AREA if size[0] < picture.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=way), dtype=np.uint8)


def both(shown: DisplayFrame, every: DisplayFrame) -> DisplayFrame:
    """Two renderings of one grey frame for one look, [height, width, 2].

    Args:
        shown: As a person would see it, [height, width].
        every: All its stored values, whatever its window shows of them. Its neighbourhood's mean becomes middle grey,
            so that print can be raised either way.
    """
    pair = np.empty((*shown.shape, 2), np.uint8)
    pair[:, :, 0] = shown
    mean = cv2.blur(every, (_NEIGHBOURHOOD, _NEIGHBOURHOOD))
    pair[:, :, 1] = cv2.addWeighted(every, 1, mean, -1, 128)
    return pair


def planes(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A picture as the networks take it, [1 or 3, height, width]; of two renderings the first counts twice."""
    if picture.ndim == 2:
        return picture[None]
    return picture.transpose(2, 0, 1)[list(_ORDER[picture.ndim, picture.shape[2]])]


def tiles(height: int, width: int) -> list[tuple[slice, slice]]:
    """Rows and columns of the looks that a picture takes: one, or overlapping tiles if it is large."""
    if height * width <= ONE_LOOK:
        return [(slice(0, height), slice(0, width))]
    return [(rows, columns) for rows in _cuts(height) for columns in _cuts(width)]


def _cuts(side: int) -> list[slice]:
    if side <= _TILE:
        return [slice(0, side)]
    count = -(-(side - _OVERLAP) // (_TILE - _OVERLAP))
    step = -(-(side - _OVERLAP) // count)
    return [slice(number * step, min((number + 1) * step + _OVERLAP, side)) for number in range(count)]


def pixels(height: int, width: int) -> int:
    """Of the network's input for a picture of some size: what a look costs."""
    return _side(height, 1) * _side(width, _FEWEST)


def _side(length: int, fewest: int) -> int:
    return max(-(-(length + MARGIN + _GAP + _STRIP) // STRIDE), fewest) * STRIDE


def batch(picture: DisplayFrame, noise: Grain | None, *, alone: bool = False) -> npt.NDArray[np.float32]:
    """The network's input: float32 [1, 3, height, width] in -1 to 1; the picture stands ``MARGIN`` from its top left.

    Args:
        picture: As it is looked at.
        noise: Its grain; None for none.
        alone: Black around it, in place of its edge continued: for what may be a line and nothing else.
    """
    height, width = picture.shape[:2]
    mean = cv2.blur(picture, (_NEIGHBOURHOOD, _NEIGHBOURHOOD))
    raised = np.asarray(cv2.addWeighted(picture, 2, mean, -1, 0), dtype=np.uint8)
    if noise is not None:
        raised = calmed(picture, raised, noise)
    beyond = cv2.BORDER_CONSTANT if alone else cv2.BORDER_REPLICATE
    rows, columns = _side(height, 1) - _STRIP, _side(width, _FEWEST) - _STRIP
    canvas = np.zeros((rows + _STRIP, columns + _STRIP, *picture.shape[2:]), np.uint8)
    around = cv2.copyMakeBorder(raised, MARGIN, _GAP, MARGIN, _GAP, beyond)
    canvas[: around.shape[0], : around.shape[1]] = around
    del mean, raised, around  # the result is as large as twelve of them
    canvas[rows:, :columns].T[...] = _reference(columns).T
    canvas[:rows, columns:] = np.rot90(_reference(rows)).reshape(rows, _STRIP, *[1] * (picture.ndim - 2))
    result = np.empty((1, 3, *canvas.shape[:2]), np.float32)
    for colour, plane in enumerate(_ORDER[canvas.ndim, canvas.shape[-1] if canvas.ndim == 3 else 1]):
        np.multiply(canvas if canvas.ndim == 2 else canvas[:, :, plane], np.float32(2 / 255), out=result[0, colour])
    result -= np.float32(1)
    return result


def _reference(length: int) -> npt.NDArray[np.uint8]:
    """A line of print, [strip, length]."""
    strip = np.zeros((_STRIP, length), np.uint8)
    base = _STRIP // 2 + 4
    cv2.putText(strip, _STRIP_PRINT, (6, base), cv2.FONT_HERSHEY_SIMPLEX, _STRIP_SCALE, 255, 1, cv2.LINE_AA)
    return strip
