"""Step 3 of 7: what a region says, by the PP-OCRv6 recogniser in the rapidocr wheel.

Reading never decides that something is masked in place of the detector: it only clears large shapes that hold no
letters, and keeps technical markers that a policy allows (``markers.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from gateway.deid.canvas import planes
from gateway.deid.network import network

if TYPE_CHECKING:
    from gateway.ingest.image import DisplayFrame

_HEIGHT = 48  # of the recogniser's input
_STRIDE = 32
_WIDEST = 1280
_LIKE = {"i": "1", "l": "1", "o": "0"}


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read.

    Attributes:
        text: The characters.
        scores: How sure the network is of each, 0 to 1.
    """

    text: str
    scores: tuple[float, ...]

    def letters(self) -> tuple[float, ...]:
        """The scores of letters and digits."""
        return tuple(score for character, score in zip(self.text, self.scores, strict=True) if character.isalnum())

    def variety(self) -> int:
        """How many different letters and digits there are. Strokes are one, be they 1, I or l, and so are rings."""
        return len({_LIKE.get(one, one) for one in self.text.casefold() if one.isalnum()})


class Reader:
    """The recogniser. Loading takes about 0.2 s; make one and keep it."""

    def __init__(self) -> None:
        self._session = network("PP-OCRv6_rec_small.onnx")
        self._input = self._session.get_inputs()[0].name
        characters: str = self._session.get_modelmeta().custom_metadata_map["character"]
        # 0 is the blank of connectionist temporal classification; the last is the space, which the list leaves out.
        self._characters = ["", *characters.splitlines(), " "]

    def read(self, line: DisplayFrame) -> Reading:
        """Read one line of print that lies upright; uint8 [height, width] or [height, width, 2 or 3]."""
        width = min(_WIDEST, max(8, round(_HEIGHT * line.shape[1] / line.shape[0])))
        way = cv2.INTER_AREA if line.shape[0] > _HEIGHT else cv2.INTER_LINEAR
        lying = np.asarray(cv2.resize(line, (width, _HEIGHT), interpolation=way), dtype=np.uint8)
        batch = np.zeros((1, 3, _HEIGHT, -(-width // _STRIDE) * _STRIDE), np.float32)
        batch[0, :, :, :width] = planes(lying).astype(np.float32) * np.float32(2 / 255) - np.float32(1)
        (output,) = self._session.run(None, {self._input: batch})
        best, score = output[0].argmax(1), output[0].max(1)
        starts = (best != 0) & np.concatenate(
            ([True], best[1:] != best[:-1])
        )  # a class twice in a row is one character
        text = "".join(self._characters[place] for place in best[starts])
        return Reading(text, tuple(float(one) for one in score[starts]))
