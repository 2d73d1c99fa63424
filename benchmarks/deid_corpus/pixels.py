"""De-identification benchmark: small pixel data for every kind, and lines of burned-in text at known places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from benchmarks.deid_corpus.people import dice

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from benchmarks.deid_corpus.values import Scene

SIDE, SIDE_WITH_TEXT = 64, 256


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One burned-in line.

    Attributes:
        frame: 0-based.
        box: Left, top, right, bottom in pixels; right and bottom exclusive.
        strokes: bool, [bottom - top, right - left]: where the letters are.
    """

    frame: int
    box: tuple[int, int, int, int]
    strokes: npt.NDArray[np.bool_]


def add_pixels(dataset: Dataset, scene: Scene, frames: int, *, burned_in: bool) -> list[Line]:
    """Give a data set its pixels and what describes them. Text is burned in on request, the same on every frame.

    Returns:
        The lines of text; none for objects without an image.
    """
    form = scene.kind["pixels"]
    if form == "none":
        return []
    side = SIDE_WITH_TEXT if burned_in else SIDE
    roll = np.random.default_rng(dice(*scene.scope("instance"), "pixels").randrange(2**32))
    if form == "segments":
        _describe(dataset, side, frames, bits=1, allocated=1)
        mask = roll.random((frames, side, side)) > 0.5
        dataset.PixelData = np.packbits(mask.ravel(), bitorder="little").tobytes()
        return []
    lines: list[Line] = []
    grey = np.stack([_anatomy(roll, side) for _ in range(frames)])
    if burned_in and form != "dose32-frames":
        lines = [line for frame in range(frames) for line in _write(grey[frame], scene, frame)]
    if form.startswith("rgb"):
        # Equal channels and a tint: colour, and still grey enough that letters stay letters.
        stored: npt.NDArray[Any] = (grey[..., None] * np.array([255, 245, 230])).astype(np.uint8)
        _describe(dataset, side, frames, bits=8, allocated=8, photometric="RGB")
    elif form == "dose32-frames":
        stored = (grey * 2**31).astype(np.uint32)
        _describe(dataset, side, frames, bits=32, allocated=32)
    else:
        inverted, signed = form.startswith("inverted"), form.startswith("signed")
        values = (1 - grey if inverted else grey) * 4095
        stored = (values - 1024).astype(np.int16) if signed else values.astype(np.uint16)
        _describe(
            dataset, side, frames, bits=16 if signed else 12, allocated=16, signed=signed,
            photometric="MONOCHROME1" if inverted else "MONOCHROME2",
        )  # fmt: skip
        _full_window(dataset, signed=signed)
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OB" if stored.dtype == np.uint8 else "OW"
    return lines


def _describe(
    dataset: Dataset, side: int, frames: int, *, bits: int, allocated: int, signed: bool = False,
    photometric: str = "MONOCHROME2",
) -> None:  # fmt: skip
    dataset.Rows = dataset.Columns = side
    dataset.SamplesPerPixel = 3 if photometric == "RGB" else 1
    if photometric == "RGB":
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    if frames > 1 or "FunctionalGroups" in str(dataset.dir()) or allocated == 32:
        dataset.NumberOfFrames = frames


def _full_window(dataset: Dataset, *, signed: bool) -> None:
    """Where a window was drawn it shows the whole range, so that text is as visible as it is in the stored values."""
    if "WindowCenter" in dataset and not signed:
        dataset.WindowCenter, dataset.WindowWidth = "2048", "4096"
    elif "WindowCenter" in dataset:
        # After Rescale Intercept -1024.
        dataset.WindowCenter, dataset.WindowWidth = "0", "4096"


def _anatomy(roll: np.random.Generator, side: int) -> npt.NDArray[np.float64]:
    """A soft ellipse with a few blobs and a little noise, 0 to 0.7."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    image = 0.35 * (x**2 / 0.55 + y**2 / 0.7 < 1)
    for _ in range(5):
        cx, cy, width = *roll.uniform(-0.5, 0.5, 2), roll.uniform(0.05, 0.25)
        image += roll.uniform(-0.15, 0.25) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / width**2)
    grey: npt.NDArray[np.float64] = np.clip(image + roll.normal(0, 0.01, image.shape), 0, 0.7)
    return grey


def _write(grey: npt.NDArray[np.float64], scene: Scene, frame: int) -> list[Line]:
    who, lines = scene.patient, []
    texts = (f"{who.family} {who.given}"[:26], f"ID {who.id}", f"{scene.moment('study'):%d.%m.%Y %H:%M}")
    for row, text in enumerate(texts):
        x, y = (6, 8 + 22 * row) if row < 2 else (6, grey.shape[0] - 26)
        strokes = write_line(grey, text, x, y)
        lines.append(Line(frame, (x, y, x + strokes.shape[1], y + strokes.shape[0]), strokes))
    return lines


def write_line(grey: npt.NDArray[np.float64], text: str, x: int, y: int) -> npt.NDArray[np.bool_]:
    """Write white text into a picture of 0 to 1, and say where its strokes are within its box."""
    font = ImageFont.load_default(size=15)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    canvas = Image.new("L", (right - left, bottom - top), 0)
    ImageDraw.Draw(canvas).text((-left, -top), text, font=font, fill=255)
    strokes = np.asarray(canvas) > 127
    grey[y : y + strokes.shape[0], x : x + strokes.shape[1]][strokes] = 1.0
    return strokes
