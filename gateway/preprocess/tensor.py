"""Step 4 of 7: sanitized frames become the model's input. No float work: the model's graph scales (uint8 in)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from gateway.deid.image import SanitizedImage

if TYPE_CHECKING:
    from gateway.ingest.image import DisplayFrame
    from gateway.models.spec import InputSpec

_REDUCING_GAP = 3.0  # Pillow's own limit from which the result is next to indistinguishable from a plain resize


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """The only thing that leaves for the model server.

    Attributes:
        array: uint8 [frames, height, width, 3], RGB, C-contiguous.
        digest: SHA-256 of the array's bytes, hex.
    """

    array: npt.NDArray[np.uint8] = field(repr=False)
    digest: str


def to_tensor(image: SanitizedImage, spec: InputSpec) -> Tensor:
    """Resize every frame to the model's size and stack them.

    The filter is Pillow's bicubic, its default, antialiased when it shrinks; frames of more than three times the size
    are first reduced by box averaging. A frame that has the size already is not touched.

    Raises:
        TypeError: Not a SanitizedImage: nothing else may reach a model.
    """
    if not isinstance(image, SanitizedImage):
        raise TypeError("only a SanitizedImage becomes a tensor")
    array = np.empty((len(image.frames), spec.height, spec.width, 3), np.uint8)
    for place, frame in zip(array, image.frames, strict=True):
        resized = _resize(frame, spec)
        place[...] = resized[:, :, None] if resized.ndim == 2 else resized
    return Tensor(array, hashlib.sha256(array.data).hexdigest())


def _resize(frame: DisplayFrame, spec: InputSpec) -> npt.NDArray[np.uint8]:
    if frame.shape[:2] == (spec.height, spec.width):
        return frame
    picture = Image.fromarray(frame)
    small = picture.resize((spec.width, spec.height), Image.Resampling.BICUBIC, reducing_gap=_REDUCING_GAP)
    return np.asarray(small, dtype=np.uint8)
