"""Step 6 of 7: what the model said becomes the answer, in the form of its task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from gateway.respond.detection import DetectionAnswer, detected
from gateway.respond.prediction import ClassificationAnswer, classified

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import numpy.typing as npt

    from gateway.models.spec import ModelSpec
    from gateway.preprocess.placement import Placement
    from gateway.respond.parts import Asked

PredictAnswer = Annotated[ClassificationAnswer | DetectionAnswer, Field(discriminator="task")]
"""The answer to one image; ``task`` says which of the forms it has."""

_BOX_BYTES = 160
"""Of a finding in JSON, beside its label."""


def respond(
    output: npt.NDArray[np.float32], placements: Sequence[Placement], asked: Asked
) -> ClassificationAnswer | DetectionAnswer:
    """Make the answer.

    Args:
        output: float32 [frames, *model.output_shape], finite.
        placements: Where each frame's picture stands in the tensor.
        asked: All else.

    Raises:
        BadModelAnswer: A detector's scores are no scores.
        ValueError: The output does not fit: a defect, for it was validated.
    """
    if asked.model.task == "detection":
        return detected(output, placements, asked)
    return classified(output, asked)


def largest_answer(models: Iterable[ModelSpec], frames: int) -> int:
    """How many bytes an answer has at most, as a string within JSON, whichever model answers.

    Args:
        models: All that may answer.
        frames: Most frames of one answer.
    """
    return 8 * 2**10 + 2 * (frames + 1) * (max(map(_largest_frame, models), default=0) + 128)


def _largest_frame(model: ModelSpec) -> int:
    lengths = [len(label.encode()) for label in model.labels]
    if model.task == "detection":
        return model.detection.max_detections * (max(lengths) + _BOX_BYTES)
    return sum(length + 16 for length in lengths)
