"""Step 5 of 7: what a model asks for, and images made so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from inference_client.errors import InferenceRejected

if TYPE_CHECKING:
    import numpy.typing as npt

Layout = Literal["uint8-nhwc", "float32-nchw"]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What the server says of one model.

    Attributes:
        input: Name of its only input.
        output: Name of its only output.
        layout: How the input wants its images.
        max_batch: Most images in one request; 0 if the server sets no limit.
        height: Pixels.
        width: Pixels.
    """

    input: str
    output: str
    layout: Layout
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
        layout: Layout
        if tensor.datatype == "UINT8" and shape[3] == 3:
            layout, (height, width) = "uint8-nhwc", shape[1:3]
        elif tensor.datatype == "FP32" and shape[1] == 3:
            layout, (height, width) = "float32-nchw", shape[2:4]
        else:
            raise InferenceRejected(f"the model's input is {tensor.datatype} {shape}; no such images are made here")
        return cls(tensor.name, metadata.outputs[0].name, layout, config.max_batch_size, height, width)

    def check(self, images: npt.NDArray[np.uint8]) -> None:
        """Raises InferenceRejected for what is not a batch of one or more uint8 RGB images of the model's size."""
        size = (self.height, self.width)
        fits = images.ndim == 4 and images.dtype == np.uint8 and images.shape[0] > 0 and images.shape[3] == 3
        if not fits or any(wanted not in {-1, found} for wanted, found in zip(size, images.shape[1:3], strict=True)):
            raise InferenceRejected(f"the model takes uint8 images [1 or more, {size[0]}, {size[1]}, 3]")

    def blank(self) -> npt.NDArray[np.uint8]:
        """One black image, to ask whether the model answers at all."""
        return np.zeros((1, max(self.height, 1), max(self.width, 1), 3), np.uint8)

    def arrange(self, images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[Any], str]:
        """uint8 [N, height, width, 3] in the model's layout, and its KServe datatype."""
        if self.layout == "uint8-nhwc":
            return np.ascontiguousarray(images), "UINT8"
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / np.float32(255), "FP32"
