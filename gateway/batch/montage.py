"""The batch tool: two pictures side by side, as pixels and as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from rich.color import Color
from rich.style import Style
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

Picture: TypeAlias = npt.NDArray[np.uint8]
"""uint8 [height, width, 3], RGB."""

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, width, height, in pixels."""

_RED, _GAP = (255, 48, 48), 96
_UPPER_HALF = "\u2580"


def rgb(frame: npt.NDArray[np.uint8]) -> Picture:
    """A display frame, grey or colour, as RGB."""
    return np.repeat(frame[:, :, None], 3, axis=2) if frame.ndim == 2 else frame


def outlined(picture: Picture, boxes: Iterable[Box]) -> Picture:
    """A copy with each box outlined in red, the line outside of it."""
    drawn = picture.copy()
    line = max(1, max(picture.shape[:2]) // 400)
    for left, top, width, height in boxes:
        corner, opposite = (left - line, top - line), (left + width + line - 1, top + height + line - 1)
        cv2.rectangle(drawn, corner, opposite, _RED, line)
    return drawn


def side_by_side(left: Picture, right: Picture) -> Picture:
    """Both in one picture, a grey bar between them; the smaller one is filled up with grey."""
    height, gap = max(left.shape[0], right.shape[0]), max(4, left.shape[1] // 100)
    both = np.full((height, left.shape[1] + gap + right.shape[1], 3), _GAP, np.uint8)
    both[: left.shape[0], : left.shape[1]] = left
    both[: right.shape[0], left.shape[1] + gap :] = right
    return both


def fitted(picture: Picture, boxes: Iterable[Box], columns: int, rows: int) -> tuple[Picture, list[Box]]:
    """Made small enough for a part of a terminal, with its boxes; two pixels stand above each other in a cell."""
    height, width = picture.shape[:2]
    scale = min(columns / width, 2 * rows / height, 1.0)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    moved = []
    for left, top, wide, high in boxes:
        x, y = int(left * scale), int(top * scale)
        moved.append((x, y, max(1, round((left + wide) * scale) - x), max(1, round((top + high) * scale) - y)))
    return small, moved


def as_text(picture: Picture) -> Text:
    """For a terminal with colours: each cell shows two pixels, one above the other."""
    if picture.shape[0] % 2:
        picture = np.concatenate([picture, np.zeros_like(picture[:1])])
    text = Text(no_wrap=True)
    for upper, lower in zip(picture[0::2].tolist(), picture[1::2].tolist(), strict=True):
        for above, below in zip(upper, lower, strict=True):
            text.append(_UPPER_HALF, Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
        text.append("\n")
    return text
