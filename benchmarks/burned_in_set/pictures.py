"""The pictures of the burned-in text benchmark: lines planted by seed, and files that hold no print."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from PIL import Image

from gateway.errors import GatewayError
from gateway.ingest.decode import decode
from gateway.ingest.frames import FrameSelection
from gateway.ingest.upload import Upload
from gateway.settings import IngestSettings
from tests.support import deid
from tests.support.planted_text import BACKGROUNDS, CONTRASTS, Planted, plant

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

HEIGHTS = (9, 10, 11, 12, 14, 16, 20, 24, 28, 32)
TENSOR = 224
TENSOR_SIZES = ((512, 512), (768, 1024), (320, 320))
TENSOR_HEIGHTS = (4, 5, 6, 7, 8, 10, 12, 16, 20, 24)

# Files of pydicom's wheels and of the shared set that do hold print, a marker or a maker's sign.
WITH_PRINT = (
    "us_rgb_burned_in", "TextGBR", "examples_jpeg2k", "examples_palette", "examples_rgb_color", "examples_ybr_color",
    "JPGLosslessP14SV1_1s_1f_8b", "US1_", "OBXXXX1A", "US-ALOKA", "mlut_18", "vlut_04", "RG3_", "color-p",
)  # fmt: skip


def lines(*, full: bool) -> Iterator[tuple[int, str, bool, Planted]]:
    """Height, contrast, inverse, picture; in frames that are given back at their own size."""
    plans: list[tuple[tuple[int, int], tuple[int, ...], range, tuple[str, ...]]] = [
        ((512, 512), HEIGHTS if full else HEIGHTS[::3], range(2 if full else 1), tuple(CONTRASTS))
    ]
    if full:
        plans.append(((768, 1024), HEIGHTS[::3], range(10, 11), tuple(CONTRASTS)))
        plans.append(((2500, 2000), (9, 16, 32), range(20, 21), ("plain",)))
    for size, heights, seeds, contrasts in plans:
        for kind, height, contrast in product(sorted(BACKGROUNDS), heights, contrasts):
            for vertical, inverse, seed in product((False, True), (False, True), seeds):
                if size[0] > 2000 and inverse != vertical:
                    continue
                number = seed * 10_000 + height * 100 + vertical * 10 + inverse
                line = plant(kind, number, size, height, vertical=vertical, contrast=contrast, inverse=inverse)
                if line is not None:
                    yield height, contrast, inverse, line


def tensor_lines(*, full: bool) -> Iterator[tuple[str, int, str, Planted]]:
    """Background, height of a capital in the tensor, contrast, picture at full size."""
    for number, kind in enumerate(sorted(BACKGROUNDS)):
        for height, vertical, contrast, inverse in product(
            TENSOR_HEIGHTS if full else TENSOR_HEIGHTS[::3], (False, True), CONTRASTS, (False, True)
        ):
            size = TENSOR_SIZES[(number + height + vertical + inverse) % 3]
            tall = round(height * max(size) / TENSOR)
            seed = height * 100 + vertical * 10 + inverse
            line = plant(kind, seed, size, tall, vertical=vertical, contrast=contrast, inverse=inverse)
            if line is not None:
                yield kind, height, contrast, line


def files_without_text() -> list[tuple[str, list[tuple[str, npt.NDArray[np.uint8]]]]]:
    """Of pydicom's wheel, and of the shared sets where they are here: name, and pictures by file name."""
    wheel = Path(pydicom.__file__).parent / "data" / "test_files"
    shared = deid.SHARED / "data"
    sets = [("pydicom wheel", _decoded(wheel)), ("shared DICOM files", _decoded(shared / "dicom"))]
    mri = [(path.name, np.asarray(Image.open(path).convert("L"))) for path in sorted((shared / "mri").glob("*.jpg"))]
    return [(name, pictures) for name, pictures in [*sets, ("brain MRI", mri)] if pictures]


def _decoded(folder: Path) -> list[tuple[str, npt.NDArray[np.uint8]]]:
    """The middle frame of every file that is an image, each different one once."""
    found: dict[bytes, tuple[str, npt.NDArray[np.uint8]]] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(part in path.name for part in WITH_PRINT):
            continue
        try:
            image = decode(Upload(path.read_bytes()), FrameSelection("middle"), IngestSettings())
            picture = next(iter(image.frames()))[1]
        except GatewayError:
            continue
        found.setdefault(picture.tobytes(), (path.name, picture))
    return list(found.values())
