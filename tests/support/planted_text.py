"""Pictures with a line of print planted in them, and where it stands. Made by seed alone, apart from the detector."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable

Picture = npt.NDArray[np.uint8]

NAMES = ("DOE^JOHN", "Müller, Anna", "GARCIA LOPEZ M", "Smith, Jane A.", "O'Brien Pat", "NOWAK KATARZYNA", "Ito Haruki")
HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_PLAIN)


@dataclass(frozen=True)
class Planted:
    """One picture.

    Attributes:
        picture: uint8 [height, width].
        box: left, top, right, bottom of the ink, in pixels; right and bottom exclusive.
        text: What was written.
        background: Kind of background.
        vertical: Whether the line was turned by a quarter.
    """

    picture: Picture
    box: tuple[int, int, int, int]
    text: str
    background: str
    vertical: bool

    @property
    def height(self) -> int:
        """Of the print, in pixels."""
        left, top, right, bottom = self.box
        return (right - left) if self.vertical else (bottom - top)


def _smooth(noise: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma))


def _mr(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float64]:
    picture = np.zeros((height, width))
    centre = (width // 2, height // 2)
    axes = (int(width * rng.uniform(0.3, 0.42)), int(height * rng.uniform(0.35, 0.46)))
    cv2.ellipse(picture, centre, axes, 0, 0, 360, 190, -1)
    cv2.ellipse(picture, centre, (int(axes[0] * 0.93), int(axes[1] * 0.93)), 0, 0, 360, 20, -1)
    cv2.ellipse(picture, centre, (int(axes[0] * 0.87), int(axes[1] * 0.87)), 0, 0, 360, 110, -1)
    texture = _smooth(rng.normal(0, 1, (height, width)), width / 60)
    picture += np.where(picture > 100, texture / texture.std() * 18, 0)
    return _smooth(picture, 1.0) + rng.normal(0, 4, (height, width))


def _ct(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float64]:
    picture = np.zeros((height, width))
    cv2.ellipse(picture, (width // 2, height // 2), (int(width * 0.42), int(height * 0.3)), 0, 0, 360, 95, -1)
    for _ in range(8):
        centre = (int(rng.uniform(0.25, 0.75) * width), int(rng.uniform(0.3, 0.7) * height))
        size = (int(rng.uniform(0.02, 0.1) * width), int(rng.uniform(0.02, 0.1) * height))
        cv2.ellipse(picture, centre, size, rng.uniform(0, 180), 0, 360, rng.uniform(30, 230), -1)
    return _smooth(picture, 1.2) + rng.normal(0, 6, (height, width))


def _us(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float64]:
    y, x = np.mgrid[:height, :width]
    radius, angle = np.hypot(x - width / 2, y + height * 0.08), np.arctan2(x - width / 2, y + height * 0.08)
    sector = (np.abs(angle) < 0.65) & (radius > height * 0.15) & (radius < height * 0.98)
    speckle = np.hypot(*(_smooth(rng.normal(0, 1, (height, width)), 1.2) for _ in range(2)))
    depth = 0.5 + 0.5 * np.sin(radius / height * 9 + rng.uniform(0, 6))
    return np.where(sector, speckle / speckle.mean() * 60 * depth, 0.0)


def _noise(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float64]:
    return rng.normal(rng.uniform(40, 90), 18, (height, width))


def _gradient(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float64]:
    y, x = np.mgrid[:height, :width]
    turn = rng.uniform(0, 2 * np.pi)
    ramp = np.cos(turn) * x / width + np.sin(turn) * y / height
    return (ramp - ramp.min()) / np.ptp(ramp) * 140


def _film(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float64]:
    cloud = _smooth(rng.normal(0, 1, (height, width)), width / 12)
    return 95 + cloud / cloud.std() * 30 + rng.normal(0, 5, (height, width))


def _light(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float64]:
    return rng.normal(rng.uniform(205, 240), 4, (height, width))


BACKGROUNDS: dict[str, Callable[[np.random.Generator, int, int], npt.NDArray[np.float64]]] = {
    "mr": _mr, "ct": _ct, "us": _us, "noise": _noise, "gradient": _gradient, "film": _film, "light": _light,
}  # fmt: skip


def words(rng: np.random.Generator) -> str:
    """A name, an ID or a date, as scanners print them."""
    digits = "".join(rng.choice(list(string.digits), 8))
    return str(
        rng.choice([
            rng.choice(NAMES),
            f"ID {digits}",
            f"{rng.integers(1930, 2024)}-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}",
            f"DOB {rng.integers(1, 29):02}.{rng.integers(1, 13):02}.{rng.integers(1930, 2010)}",
            f"{rng.choice(NAMES)} {digits[:6]}",
        ])
    )  # fmt: skip


def _print(rng: np.random.Generator, text: str, height: int) -> Picture:
    """The line as a mask of ink, 0 to 255, cut to the ink; its capitals are about ``height`` tall."""
    if rng.random() < 0.5:
        font = ImageFont.load_default(size=max(6.0, height * 1.36))
        _, _, right, bottom = font.getbbox(text)
        canvas = Image.new("L", (int(right) + 8, int(bottom) + 8))
        ImageDraw.Draw(canvas).text((4, 4), text, font=font, fill=255)
        ink: Picture = np.asarray(canvas)
    else:
        face = HERSHEY[rng.integers(len(HERSHEY))]
        text = text.encode("ascii", "replace").decode()
        scale = cv2.getFontScaleFromHeight(face, height, 1)
        (width, tall), base = cv2.getTextSize(text, face, scale, max(1, round(height / 12)))
        ink = np.zeros((tall + base + 12, width + 12), np.uint8)
        cv2.putText(ink, text, (6, tall + 6), face, scale, 255, max(1, round(height / 12)), cv2.LINE_AA)
    rows, columns = np.flatnonzero(ink.max(1) > 60), np.flatnonzero(ink.max(0) > 60)
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def background(kind: str, seed: int, size: tuple[int, int]) -> Picture:
    """A picture without print; ``size`` is height, width."""
    return np.clip(BACKGROUNDS[kind](np.random.default_rng(seed), *size), 0, 255).astype(np.uint8)


def plant(kind: str, seed: int, size: tuple[int, int], height: int) -> Planted | None:
    """A picture with one line whose capitals are about ``height`` pixels tall; None if it does not fit."""
    rng = np.random.default_rng([seed, height])
    picture = background(kind, seed, size)
    text = words(rng)
    ink = _print(rng, text, height)
    vertical = bool(rng.random() < 0.25)
    if vertical:
        ink = np.ascontiguousarray(np.rot90(ink, rng.choice([1, 3])))
    free = (size[0] - ink.shape[0] - 4, size[1] - ink.shape[1] - 4)
    if min(free) < 2:
        return None
    corner = rng.random() < 0.5
    top, left = (2 + (int(rng.choice([0, span])) if corner else int(rng.integers(span + 1))) for span in free)
    window = picture[top : top + ink.shape[0], left : left + ink.shape[1]]
    colour = 15 if kind == "light" else min(255, int(window.mean()) + int(rng.integers(90, 160)))
    share = ink.astype(np.float64) / 255
    window[...] = (window * (1 - share) + colour * share).astype(np.uint8)
    return Planted(picture, (left, top, left + ink.shape[1], top + ink.shape[0]), text, kind, vertical)
