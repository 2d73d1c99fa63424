"""What a text recogniser makes of a planted line in the tensor that leaves for the model."""

from __future__ import annotations

from difflib import SequenceMatcher
from functools import lru_cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import cv2
import numpy as np

from gateway.models.spec import InputSpec
from gateway.preprocess.tensor import to_tensor
from tests.support import deid

if TYPE_CHECKING:
    from gateway.deid.engine import DeidEngine
    from gateway.deid.image import SanitizedImage
    from gateway.deid.reading import Reader
    from gateway.ingest.image import DisplayFrame
    from tests.support.planted_text import Planted

SPEC = InputSpec()


@lru_cache(maxsize=1)
def _engine() -> DeidEngine:
    with TemporaryDirectory() as folder:
        return deid.engine(folder=Path(folder))


def unmasked(picture: DisplayFrame) -> SanitizedImage:
    """What would leave if nobody looked for text."""
    return _engine().deidentify(deid.image(frames=[picture]), tenant="a")


def share_read(image: SanitizedImage, planted: Planted, reader: Reader, spec: InputSpec = SPEC) -> float:
    """Share of the line's letters and digits that are read, in their order, at its place in the tensor; 0 to 1.

    Enlarged three times, with a margin, and if that does not give all with a wider one; either way up if the line
    stands upright. The place is known, so the recogniser has it easier than anyone who finds the tensor.
    """
    made = to_tensor(image, spec)
    tensor, place = made.array[0], made.placements[0]
    height, width = planted.picture.shape
    left, right = (place.left + side * place.width / width for side in planted.box[::2])
    top, bottom = (place.top + side * place.height / height for side in planted.box[1::2])
    best = 0.0
    for margin, way in product((1.0, 3.0), (1, 3) if planted.vertical else (0,)):
        rows = slice(max(0, int(top - margin)), int(bottom + margin) + 1)
        columns = slice(max(0, int(left - margin)), int(right + margin) + 1)
        line = np.ascontiguousarray(np.rot90(tensor[rows, columns], way))
        large = cv2.resize(line, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
        best = max(best, share(planted.text, reader.read(large).text))
        if best == 1:
            break
    return best


def share(written: str, read: str) -> float:
    """Share of the letters and digits of a text that were read, in their order; 0 to 1."""
    wanted, got = (
        "".join(character for character in text.casefold() if character.isalnum()) for text in (written, read)
    )
    matcher = SequenceMatcher(None, wanted, got, autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / max(1, len(wanted))
