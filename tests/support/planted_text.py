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
FONTS = ("freetype", "sans", "italic", "bitmap")
WEIGHTS = (300, 400, 600, 800)
_SIZE_OF_CAPITALS = {"freetype": 1.36, "sans": 1.3, "italic": 1.3, "bitmap": 1 / 7}
CONTRASTS = {"plain": (90, 160), "faint": (40, 60)}
"""Grey levels between the ink and the mean of what it stands on."""


@dataclass(frozen=True)
class Planted:
    """One picture.

    Attributes:
        picture: uint8 [height, width].
        box: left, top, right, bottom of the ink, in pixels; right and bottom exclusive.
        text: What was written.
        background: Kind of background.
        vertical: Whether the line was turned by a quarter.
        font: One of FONTS.
        clearness: Grey levels between ink and ground, over the standard deviation of the ground's fine grain.
    """

    picture: Picture
    box: tuple[int, int, int, int]
    text: str
    background: str
    vertical: bool
    font: str
    clearness: float

    @property
    def height(self) -> int:
        """Of the print, in pixels."""
        left, top, right, bottom = self.box
        return (right - left) if self.vertical else (bottom - top)


def _smooth(noise: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
    """Blurred; wide blurs are made small and enlarged, or large pictures would take a minute each."""
    shrink = int(sigma / 8)
    if shrink < 2:
        return np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma))
    height, width = noise.shape
    small = cv2.resize(noise, (-(-width // shrink), -(-height // shrink)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / shrink), (width, height)))


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


def draw(rng: np.random.Generator, text: str, height: int, font: str) -> Picture:
    """The line as a mask of ink, 0 to 255, cut to the ink; its capitals are about ``height`` tall."""
    if font == "freetype":
        ink = _pillow(text, ImageFont.load_default(size=height * _SIZE_OF_CAPITALS[font]))
    elif font == "bitmap":  # one fixed set of dots, enlarged: the character generators of older consoles
        ink = _pillow(text.encode("ascii", "replace").decode(), ImageFont.load_default_imagefont())
        factor = height * _SIZE_OF_CAPITALS[font]
        ink = cv2.resize(ink, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)  # type: ignore[assignment]
    else:
        canvas = np.zeros((3 * height + 24, 2 * height * len(text) + 40, 3), np.uint8)
        face, size, weight = cv2.FontFace(font), round(height * _SIZE_OF_CAPITALS[font]), int(rng.choice(WEIGHTS))
        cv2.putText(canvas, text, (12, 2 * height + 8), (255, 255, 255), face, size, weight)
        ink = canvas[:, :, 0]
    rows, columns = np.flatnonzero(ink.max(1) > 60), np.flatnonzero(ink.max(0) > 60)
    return np.asarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], dtype=np.uint8)


def _pillow(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Picture:
    _, _, right, bottom = font.getbbox(text)
    canvas = Image.new("L", (int(right) + 8, int(bottom) + 8))
    ImageDraw.Draw(canvas).text((4, 4), text, font=font, fill=255)
    return np.asarray(canvas)


def background(kind: str, seed: int, size: tuple[int, int]) -> Picture:
    """A picture without print; ``size`` is height, width."""
    return np.clip(BACKGROUNDS[kind](np.random.default_rng(seed), *size), 0, 255).astype(np.uint8)


def _place(rng: np.random.Generator, picture: Picture, shape: tuple[int, int], above: int) -> tuple[int, int, int]:
    """Top, left and grey level of a line, in a corner half of the time.

    Of twelve places the first where the ink stands out from the (smoothed) picture along the whole line by three fifths
    of its contrast, else the last: print whose grey is that of what it stands on is no print there.
    """
    free = (picture.shape[0] - shape[0] - 4, picture.shape[1] - shape[1] - 4)
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 3)
    corner = rng.random() < 0.5
    for _ in range(12):
        top, left = (2 + (int(rng.choice([0, span])) if corner else int(rng.integers(span + 1))) for span in free)
        below = smooth[top : top + shape[0], left : left + shape[1]]
        colour = min(255, max(0, round(float(below.mean())) + above))
        if float(((colour - below) * np.sign(above)).min()) >= 0.6 * abs(above):
            break
        corner = False
    return top, left, colour


def plant(
    kind: str,
    seed: int,
    size: tuple[int, int],
    height: int,
    *,
    vertical: bool | None = None,
    contrast: str = "plain",
    inverse: bool = False,
    font: str | None = None,
    text: str | None = None,
) -> Planted | None:
    """A picture with one line in it.

    Args:
        kind: One of BACKGROUNDS.
        seed: Decides all that is not given.
        size: Height and width of the picture.
        height: About that of the line's capitals, in pixels.
        vertical: Whether the line is turned by a quarter; one line of four is, unless given.
        contrast: One of CONTRASTS.
        inverse: Turn black and white of the whole picture about at the end.
        font: One of FONTS.
        text: What to write; a line that does not fit is replaced by a shorter one only if it is not given.

    Returns:
        None if no line fits.
    """
    rng = np.random.default_rng([seed, height])
    picture = background(kind, seed, size)
    font = font or str(rng.choice(FONTS))
    turned = bool(rng.random() < 0.25) if vertical is None else vertical
    for _ in range(8):
        written = text or words(rng)
        ink = draw(rng, written, height, font)
        if turned:
            ink = np.ascontiguousarray(np.rot90(ink, rng.choice([1, 3])))
        free = (size[0] - ink.shape[0] - 4, size[1] - ink.shape[1] - 4)
        if min(free) >= 2:
            break
    else:
        return None
    above = int(rng.integers(*CONTRASTS[contrast])) * (-1 if kind == "light" else 1)
    top, left, colour = _place(rng, picture, (ink.shape[0], ink.shape[1]), above)
    window = picture[top : top + ink.shape[0], left : left + ink.shape[1]]
    ground = window.astype(np.float32)
    grain = float((ground - cv2.GaussianBlur(ground, (0, 0), 3)).std())
    share = ink.astype(np.float64) / 255
    window[...] = (window * (1 - share) + colour * share).astype(np.uint8)
    box = (left, top, left + ink.shape[1], top + ink.shape[0])
    return Planted(
        255 - picture if inverse else picture, box, written, kind, turned, font, abs(above) / max(grain, 1.0)
    )
