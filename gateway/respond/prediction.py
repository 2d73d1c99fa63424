"""Step 6 of 7: logits become the answer. No I/O; nothing in it identifies anyone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from gateway.models.spec import UNCERTAIN
from gateway.respond.parts import (
    Deidentification,
    FrameNumber,
    Instance,
    Latency,
    ModelAnswer,
    Part,
    Probability,
    RequestId,
    Study,
    Warnings,
    rounded,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from gateway.models.spec import ModelSpec
    from gateway.respond.parts import Asked

Probabilities = Annotated[
    dict[str, Probability], Field(description="Label to calibrated probability, in the model's label order; sums to 1")
]


class FrameAnswer(Part):
    """One frame of a multi-frame object."""

    frame: FrameNumber
    prediction: str = Field(description="The frame's most probable label, or `Uncertain`")
    confidence: Probability = Field(description="Its probability")
    probabilities: Probabilities


class ClassificationAnswer(Part):
    """What a classifier says of one image.

    The aggregate of a multi-frame object is the mean of its selected frames' probabilities, each frame weighing the
    same: one of which the model is unsure then counts for less than one of which it is sure, unlike in a vote.
    """

    prediction: str = Field(
        description="The most probable label; `Uncertain` if it is less probable than the model's policy asks for"
    )
    confidence: Probability = Field(description="Its probability")
    latency_ms: Latency
    task: Literal["classification"] = Field(description="What the model does")
    probabilities: Probabilities
    model: ModelAnswer
    frames: list[FrameAnswer] = Field(
        description="Each selected frame's own answer, if the object has more than one frame; else empty. "
        "prediction, confidence and probabilities above are then of the mean of the frames' probabilities"
    )
    deidentification: Deidentification
    warnings: Warnings
    id: RequestId
    study: Study = None
    instance: Instance = None


def classified(logits: npt.NDArray[np.float32], asked: Asked) -> ClassificationAnswer:
    """Make the answer of a classifier.

    Args:
        logits: float32 [frames, labels], finite.
        asked: All else.

    Raises:
        ValueError: The logits do not fit the labels or the frames: a defect, for they were validated.
    """
    model = asked.model
    if logits.shape != (len(asked.frame_numbers), len(model.labels)) or not len(asked.frame_numbers):
        raise ValueError("the logits fit neither the frames nor the labels")
    by_frame = softmax(logits.astype(np.float64) / model.temperature)
    whole = by_frame.mean(axis=0)
    return ClassificationAnswer(
        prediction=_best(whole, model),
        confidence=rounded(whole.max()),
        latency_ms=round(asked.latency_ms, 1),
        task="classification",
        probabilities=_named(whole, model.labels),
        model=asked.answered_by,
        frames=[
            FrameAnswer(
                frame=number,
                prediction=_best(row, model),
                confidence=rounded(row.max()),
                probabilities=_named(row, model.labels),
            )
            for number, row in zip(asked.frame_numbers, by_frame, strict=True)
            if asked.total_frames > 1
        ],
        deidentification=asked.report.as_json(),
        warnings=list(asked.warnings),
        id=asked.request_id,
        study=asked.pseudonyms.study,
        instance=asked.pseudonyms.instance,
    )


def softmax(logits: npt.NDArray[np.float32 | np.float64]) -> npt.NDArray[np.float64]:
    """Along the last axis, in float64, with the largest logit taken off first so that nothing overflows."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def _best(probabilities: npt.NDArray[np.float64], model: ModelSpec) -> str:
    return model.labels[int(probabilities.argmax())] if probabilities.max() >= model.uncertain_below else UNCERTAIN


def _named(probabilities: npt.NDArray[np.float64], labels: Sequence[str]) -> dict[str, float]:
    return {label: rounded(value) for label, value in zip(labels, probabilities, strict=True)}
