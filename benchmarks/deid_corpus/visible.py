"""De-identification benchmark: can a burned-in line still be read, and is the rest of the image as it was?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from benchmarks.deid_corpus.pixels import Line

READABLE, READABLE_STRETCH = 0.2, 0.5
"""Correlation of the letters' strokes with the pixels above which they count as still there: over the whole line, and
over a stretch of it. Noise gives 0.03 and 0.07."""
STRETCH = 16
"""Pixels: about two letters."""
MARGIN = 12
"""Pixels around a line in which a mask may be: masks are larger than the text, on purpose."""
NEEDLESS = 0.005
"""Share of the rest of the image that may be changed."""


def hidden(line: Line, frame: npt.NDArray[Any]) -> bool:
    """No trace of the letters is left in the line's box.

    Args:
        line: The line as it was written.
        frame: [height, width] or [height, width, 3], any numbers.
    """
    left, top, right, bottom = line.box
    inside = _grey(frame)[top:bottom, left:right]
    if inside.shape != line.strokes.shape:
        return False
    strokes = line.strokes.astype(float)
    # A mask that covers part of the line leaves letters in the rest, so every stretch is looked at too.
    starts = range(0, strokes.shape[1], STRETCH)
    return _correlation(strokes, inside) < READABLE and all(
        _correlation(strokes[:, x : x + STRETCH], inside[:, x : x + STRETCH]) < READABLE_STRETCH for x in starts
    )


def retained(lines: tuple[Line, ...], before: list[npt.NDArray[Any]], after: list[npt.NDArray[Any]]) -> bool:
    """Away from the text, the frames are as they were, but for a needless half percent."""
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        if one.shape != other.shape:
            return False
        away = np.ones(one.shape[:2], bool)
        for line in lines:
            if line.frame == number:
                left, top, right, bottom = line.box
                away[max(0, top - MARGIN) : bottom + MARGIN, max(0, left - MARGIN) : right + MARGIN] = False
        changed = _grey(one) != _grey(other)
        if changed[away].mean() > NEEDLESS:
            return False
    return True


def _grey(frame: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    values = frame.astype(np.float64)
    grey: npt.NDArray[np.float64] = values.mean(axis=-1) if values.ndim == 3 else values
    return grey


def _correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    if one.size == 0 or one.std() == 0 or other.std() == 0:
        return 0.0
    return abs(float(np.corrcoef(one.ravel(), other.ravel())[0, 1]))
