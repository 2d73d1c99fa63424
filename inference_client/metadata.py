"""Step 5 of 7: what a model asks for, and images made so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from inference_client.errors import InferenceRejected

if TYPE_CHECKING:
    import numpy.typing as npt

Layout = Literal["nhwc", "nchw"]
Datatype = Literal["UINT8", "FP32"]
_CHANNELS = (3, 1)


@dataclass(frozen=True, slots=True)
class Scaling:
    """How pixels become the float32 that a model takes: (pixel / divide_by - mean) / std.

    Attributes:
        divide_by: More than 0.
        mean: One number, or one a channel.
        std: Likewise; none is 0.
    """

    divide_by: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def apply(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Uint8 [N, height, width, channels] as float32 of the same shape."""
        scaled = images.astype(np.float32)
        scaled /= np.float32(self.divide_by)
        if any(self.mean):
            scaled -= np.array(self.mean, np.float32)
        if any(each != 1 for each in self.std):
            scaled /= np.array(self.std, np.float32)
        return scaled


PLAIN = Scaling()
"""To between 0 and 1."""


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What the server says of one model.

    Attributes:
        input: Name of its only input.
        output: Name of its only output.
        datatype: KServe's name of the input's type.
        layout: Where the channels are: last, or before the rows.
        channels: 3 or 1.
        max_batch: Most images in one request; 0 if the server sets no limit.
        height: Pixels.
        width: Pixels.
    """

    input: str
    output: str
    datatype: Datatype
    layout: Layout
    channels: int
    max_batch: int
    height: int
    width: int

    @classmethod
    def of(cls, metadata: Any, config: Any) -> ModelMetadata:
        """From KServe v2's ``ModelMetadataResponse`` and Triton's ``ModelConfig``.

        Raises:
            InferenceRejected: This client cannot feed the model; says why.
        """
        if len(metadata.inputs) != 1 or len(metadata.outputs) != 1:
            raise InferenceRejected("the model must have one input and one output")
        tensor = metadata.inputs[0]
        shape = list(tensor.shape)
        if len(shape) != 4 or shape[0] != -1:
            raise InferenceRejected(f"the model's input must be a batch of images, not {shape}")
        last, first = shape[3] in _CHANNELS, shape[1] in _CHANNELS
        if tensor.datatype not in {"UINT8", "FP32"} or not (last or first):
            raise InferenceRejected(f"the model's input is {tensor.datatype} {shape}; no such images are made here")
        # Where both could be channels, bytes have them last and floats first, as is usual.
        layout: Layout = "nhwc" if last and (tensor.datatype == "UINT8" or not first) else "nchw"
        channels, (height, width) = (shape[3], shape[1:3]) if layout == "nhwc" else (shape[1], shape[2:4])
        names = tensor.name, metadata.outputs[0].name
        return cls(*names, tensor.datatype, layout, channels, config.max_batch_size, height, width)

    def check(self, images: npt.NDArray[np.uint8]) -> None:
        """Raises InferenceRejected for what is not a batch of one or more uint8 images of the model's size."""
        size = (self.height, self.width)
        fits = images.ndim == 4 and images.dtype == np.uint8 and len(images) > 0 and images.shape[3] == self.channels
        if not fits or any(wanted not in {-1, found} for wanted, found in zip(size, images.shape[1:3], strict=True)):
            raise InferenceRejected(f"the model takes uint8 images [1 or more, {size[0]}, {size[1]}, {self.channels}]")

    def blank(self) -> npt.NDArray[np.uint8]:
        """One black image, to ask whether the model answers at all."""
        return np.zeros((1, max(self.height, 1), max(self.width, 1), self.channels), np.uint8)

    def arrange(self, images: npt.NDArray[np.uint8], scaling: Scaling = PLAIN) -> tuple[npt.NDArray[Any], Datatype]:
        """Uint8 [N, height, width, channels] as the model takes it, and its KServe datatype."""
        made: npt.NDArray[Any] = images if self.datatype == "UINT8" else scaling.apply(images)
        if self.layout == "nchw":
            made = made.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(made), self.datatype
