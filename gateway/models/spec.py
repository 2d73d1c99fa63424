"""Around step 5 of 7: what is known of one version of a model, and how its tensor is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UNCERTAIN = "Uncertain"
"""What is said in place of a label when no label is probable enough; no model may have a label of this name."""

NO_FINDING = "No finding"
"""What is said of an image in which a detector finds nothing; no label of a detector may have this name."""

Task = Literal["classification", "detection"]
"""What a model's output means, and with it the form of the answer.

``classification``: logits [labels]. ``detection``: the YOLO output layout [4 + labels, anchors]: centre x, centre y,
width and height in pixels of the tensor, then a score between 0 and 1 a label.
"""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the model's input tensor must be made like.

    Steps 2 to 4 make uint8 [frames, height, width, channels]; the inference client arranges that as ``layout`` and
    ``dtype`` say, so that float work is done for the models alone that cannot do it themselves.

    Attributes:
        height: Pixels.
        width: Pixels.
        resize: ``squash`` ignores the aspect ratio, as the shipped model was trained; ``letterbox`` keeps it, with grey
            beside the picture, as YOLO models are trained.
        colour: ``rgb`` has three channels, ``grey`` one: luma by ITU-R BT.601, as Pillow's ``L``.
        layout: ``nhwc`` has the channels last, ``nchw`` before the rows.
        dtype: ``uint8`` is sent as it is; ``float32`` is scaled by the three values below.
        divide_by: Pixels are divided by this first.
        mean: Subtracted then; one number, or one a channel.
        std: Divided by last; likewise.
    """

    height: int = 224
    width: int = 224
    resize: Literal["squash", "letterbox"] = "squash"
    colour: Literal["rgb", "grey"] = "rgb"
    layout: Literal["nhwc", "nchw"] = "nhwc"
    dtype: Literal["uint8", "float32"] = "uint8"
    divide_by: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def longer_side(self) -> int:
        """Pixels."""
        return max(self.height, self.width)

    @property
    def channels(self) -> int:
        """3 or 1."""
        return 3 if self.colour == "rgb" else 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image, in the model's layout."""
        if self.layout == "nhwc":
            return self.height, self.width, self.channels
        return self.channels, self.height, self.width


@dataclass(frozen=True, slots=True)
class DetectionSpec:
    """What of a detector's boxes is said.

    Attributes:
        confidence_threshold: Least score of a box.
        iou_threshold: A box that overlaps a surer one of the same label by more (area in common over area of both) is
            the same finding, and is not said again.
        max_detections: Most boxes a frame; the surest.
    """

    confidence_threshold: float = 0.25
    iou_threshold: float = 0.45
    max_detections: int = 100


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One version of a model.

    Attributes:
        name: The model's name in Triton and in the API.
        version: As Triton names it.
        digest: SHA-256 of the weights, hex, from the manifest.
        labels: Class names in the order of the logits.
        input: How to make its tensor; the same for all versions of a model.
        task: What its output means.
        modalities: Modality terms it was made for; empty takes all.
        on_other_modality: What to do with an image of another modality.
        body_parts: Terms of the body parts it was made for; empty takes all.
        on_other_body_part: What to do with an image of another part.
        temperature: By which the logits are divided before the softmax (Guo et al. 2017); 1 leaves them.
        uncertain_below: Probability of the best label under which the answer is ``UNCERTAIN``.
        detection: For detectors.
    """

    name: str
    version: str
    digest: str
    labels: tuple[str, ...]
    input: InputSpec
    task: Task = "classification"
    modalities: frozenset[str] = frozenset()
    on_other_modality: Literal["refuse", "warn"] = "refuse"
    body_parts: frozenset[str] = frozenset()
    on_other_body_part: Literal["refuse", "warn"] = "warn"
    temperature: float = 1.0
    uncertain_below: float = 0.0
    detection: DetectionSpec = DetectionSpec()

    @property
    def output_shape(self) -> tuple[int, ...]:
        """What an image comes back as; -1 is a length that the model decides."""
        return (4 + len(self.labels), -1) if self.task == "detection" else (len(self.labels),)
