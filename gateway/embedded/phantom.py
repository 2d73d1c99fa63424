"""Synthetic images: a drawn head that looks enough like an axial MR slice, and text burned into it.

No patient is behind it. The same arguments give the same pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    import numpy.typing as npt

_SEED = 20_240_229


def head(size: int = 384, *, level: float = 0.0, lesion: bool = True) -> npt.NDArray[np.float32]:
    """One slice.

    Args:
        size: Height and width, pixels.
        level: Where the slice is cut: 0 through the widest part, towards 1 near the top of the head.
        lesion: Whether there is a bright round lesion.

    Returns:
        float32 [size, size] in [0, 1]; 0 is air.
    """
    random = np.random.default_rng(_SEED + round(level * 100))
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]  # a complex step is numpy's way to say how many points
    reach = np.sqrt(1 - 0.6 * level**2)
    scalp = _ellipse(x, y, (0.0, 0.0), (0.72 * reach, 0.88 * reach))
    skull = _ellipse(x, y, (0.0, 0.0), (0.68 * reach, 0.84 * reach))
    brain = _ellipse(x, y, (0.0, 0.01), (0.62 * reach, 0.78 * reach))
    white = _ellipse(x, y, (0.0, 0.01), (0.46 * reach, 0.60 * reach))

    image = 0.75 * scalp - 0.63 * skull + 0.33 * brain + 0.17 * white
    folds = np.sin(26 * x + 5 * np.sin(9 * y)) * np.sin(22 * y + 4 * np.sin(11 * x))
    image += 0.05 * folds * (brain - 0.7 * white)
    for side in (-1, 1):  # the lateral ventricles
        image -= 0.40 * (1 - level) * _ellipse(x, y, (side * 0.11, -0.02), (0.06 * reach, 0.24 * reach))
    image -= 0.20 * brain * np.exp(-((x / 0.012) ** 2)) * (np.abs(y) > 0.3)  # the fissure between the halves
    if lesion:
        image += 0.42 * np.exp(-((((x - 0.30) / 0.13) ** 2 + ((y + 0.22) / 0.11) ** 2) ** 2)) * brain
    noise = random.normal(0, 1, (size, size))
    texture = sum(np.roll(noise, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)) / 9
    image += 0.06 * texture * brain + np.abs(random.normal(0, 0.006, (size, size)))
    return np.clip(image, 0, 1).astype(np.float32)


def burn_in(image: npt.NDArray[np.float32], lines: list[tuple[str, int]]) -> npt.NDArray[np.float32]:
    """Write text into the top left corner, as scanners and film printers do.

    Args:
        image: float32 [height, width].
        lines: Text and its size in pixels, from the top.

    Returns:
        A copy, with the text at full brightness.
    """
    mask = Image.new("L", image.shape[::-1])
    pen = ImageDraw.Draw(mask)
    top = 6
    for text, height in lines:
        pen.text((8, top), text, fill=255, font=ImageFont.load_default(height))
        top += round(height * 1.3)
    return np.maximum(image, np.asarray(mask, np.float32) / 255)


def _ellipse(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    centre: tuple[float, float],
    radii: tuple[float, float],
) -> npt.NDArray[np.float64]:
    """1 inside, 0 outside, with an edge of a few pixels."""
    radius = np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1])
    edge: npt.NDArray[np.float64] = np.clip((1 - radius) * 40 + 0.5, 0, 1)
    return edge
