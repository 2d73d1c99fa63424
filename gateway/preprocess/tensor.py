"""Step 4 of 7: sanitized frames become the model's input. No float work: the model's graph scales (uint8 in)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from gateway.deid.image import SanitizedImage
from gateway.preprocess.placement import Placement

if TYPE_CHECKING:
    from gateway.ingest.image import DisplayFrame
    from gateway.models.spec import InputSpec

PADDING = 114
"""Grey level beside a letterboxed picture, as YOLO models are trained with."""

_LARGE = 2**22  # bytes of a picture in colours: Pillow copies one with four bytes a pixel, so each colour by itself
_REDUCING_GAP = 3.0  # Pillow's own limit from which the result is next to indistinguishable from a plain resize


@dataclass(frozen=True, eq=False)
class Tensor:
    """The only thing that leaves for the model server.

    Attributes:
        array: uint8 [frames, height, width, channels], C-contiguous: RGB, or grey for a model of one channel.
        digest: SHA-256 of the array's bytes, hex.
        placements: Where each frame's picture stands in it.
    """

    array: npt.NDArray[np.uint8] = field(repr=False)
    digest: str
    placements: tuple[Placement, ...] = ()


def to_tensor(image: SanitizedImage, spec: InputSpec) -> Tensor:
    """Resize every frame to the model's size and stack them; with ``letterbox`` on a grey ground, aspect ratio kept.

    The filter is Pillow's bicubic, its default, antialiased when it shrinks; frames of more than three times the size
    are first reduced by box averaging. A frame that has the size already is not touched.

    Raises:
        TypeError: Not a SanitizedImage: nothing else may reach a model.
    """
    if not isinstance(image, SanitizedImage):
        raise TypeError("only a SanitizedImage becomes a tensor")
    placements = tuple(Placement.of(frame.shape, spec, image.stored) for frame in image.frames)
    array = np.empty((len(image.frames), spec.height, spec.width, spec.channels), np.uint8)
    for place, frame, at in zip(array, image.frames, placements, strict=True):
        if (at.width, at.height) != (spec.width, spec.height):
            place[...] = PADDING
        resized = _resize(frame, at.width, at.height)
        window = place[at.top : at.top + at.height, at.left : at.left + at.width]
        if spec.colour == "grey" and resized.ndim == 3:
            resized = np.asarray(Image.fromarray(resized).convert("L"))
        window[...] = resized[:, :, None] if resized.ndim == 2 else resized
    return Tensor(array, hashlib.sha256(array.data).hexdigest(), placements)


def _resize(frame: DisplayFrame, width: int, height: int) -> npt.NDArray[np.uint8]:
    if frame.shape[:2] == (height, width):
        return frame
    if frame.ndim == 3 and frame.size >= _LARGE:
        return np.dstack([_resize(np.ascontiguousarray(frame[:, :, colour]), width, height) for colour in range(3)])
    picture = Image.fromarray(frame)
    small = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=_REDUCING_GAP)
    return np.asarray(small, dtype=np.uint8)
