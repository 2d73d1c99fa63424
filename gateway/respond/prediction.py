"""Step 6 of 7: logits become the answer. No I/O; nothing in it identifies anyone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gateway.models.spec import UNCERTAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from gateway.deid.image import Pseudonyms
    from gateway.deid.report import DeidReport
    from gateway.models.spec import ModelSpec

DIGITS = 6
"""Digits after the point in every probability; the sum over the labels is 1 to within half of that a label."""

Probability = Annotated[float, Field(ge=0, le=1)]
Probabilities = Annotated[
    dict[str, Probability], Field(description="Label to calibrated probability, in the model's label order; sums to 1")
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class FrameAnswer(_Part):
    """One frame of a multi-frame object."""

    frame: int = Field(description="Frame number in the object, 1-based as in DICOM", ge=1)
    prediction: str = Field(description="The frame's most probable label, or `Uncertain`")
    confidence: Probability = Field(description="Its probability")
    probabilities: Probabilities


class ModelAnswer(_Part):
    """Which model answered, to the byte."""

    name: str = Field(description="The model's name")
    version: str = Field(description="The version that answered, as the model server names it")
    digest: str = Field(description="SHA-256 of its weights, hex")


class PredictAnswer(_Part):
    """The answer to one image.

    The aggregate of a multi-frame object is the mean of its selected frames' probabilities, each frame weighing the
    same: one of which the model is unsure then counts for less than one of which it is sure, unlike in a vote.
    """

    prediction: str = Field(
        description="The most probable label; `Uncertain` if it is less probable than the model's policy asks for"
    )
    confidence: Probability = Field(description="Its probability")
    latency_ms: float = Field(description="Milliseconds from the admitted body to this answer", ge=0)
    probabilities: Probabilities
    model: ModelAnswer
    frames: list[FrameAnswer] = Field(
        description="Each selected frame's own answer, if the object has more than one frame; else empty. "
        "prediction, confidence and probabilities above are then of the mean of the frames' probabilities"
    )
    deidentification: dict[str, Any] = Field(
        description="What was removed: counts, tag groups, codes and the policy's digest; never a value"
    )
    warnings: list[str] = Field(description="What to bear in mind when reading the answer")
    id: str = Field(description="The request's correlation ID; also in X-Request-ID, the log and the audit record")
    study: str | None = Field(default=None, description="Pseudonymous Study Instance UID, if the object has one")
    instance: str | None = Field(default=None, description="Pseudonymous SOP Instance UID, if the object has one")


def respond(
    logits: npt.NDArray[np.float32],
    *,
    model: ModelSpec,
    model_version: str,
    frame_numbers: Sequence[int],
    total_frames: int,
    report: DeidReport,
    pseudonyms: Pseudonyms,
    warnings: Sequence[str],
    request_id: str,
    latency_ms: float,
) -> PredictAnswer:
    """Make the answer.

    Args:
        logits: float32 [frames, labels], finite.
        model: The model asked.
        model_version: The version that answered.
        frame_numbers: The frames' numbers in the object, 1-based, in the order of ``logits``.
        total_frames: Frames in the object.
        report: What de-identification did.
        pseudonyms: Stand-ins of the object's identifiers.
        warnings: Sentences for the caller.
        request_id: Correlation ID.
        latency_ms: Milliseconds so far.

    Raises:
        ValueError: The logits do not fit the labels or the frames: a defect, for they were validated.
    """
    if logits.shape != (len(frame_numbers), len(model.labels)) or not len(frame_numbers):
        raise ValueError("the logits fit neither the frames nor the labels")
    by_frame = softmax(logits.astype(np.float64) / model.temperature)
    whole = by_frame.mean(axis=0)
    return PredictAnswer(
        prediction=_best(whole, model),
        confidence=_round(whole.max()),
        latency_ms=round(latency_ms, 1),
        probabilities=_named(whole, model.labels),
        model=ModelAnswer(name=model.name, version=model_version, digest=model.digest),
        frames=[
            FrameAnswer(
                frame=number,
                prediction=_best(row, model),
                confidence=_round(row.max()),
                probabilities=_named(row, model.labels),
            )
            for number, row in zip(frame_numbers, by_frame, strict=True)
            if total_frames > 1
        ],
        deidentification=report.as_json(),
        warnings=list(warnings),
        id=request_id,
        study=pseudonyms.study,
        instance=pseudonyms.instance,
    )


def largest_answer(labels: Iterable[Sequence[str]], frames: int) -> int:
    """How many bytes an answer has at most, as a string within JSON, whichever model answers.

    Args:
        labels: Of each model.
        frames: Most frames of one answer.
    """
    of_one = max((sum(len(label.encode()) + 16 for label in each) for each in labels), default=0) + 128
    return 8 * 2**10 + 2 * (frames + 1) * of_one


def softmax(logits: npt.NDArray[np.float32 | np.float64]) -> npt.NDArray[np.float64]:
    """Along the last axis, in float64, with the largest logit taken off first so that nothing overflows."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def _best(probabilities: npt.NDArray[np.float64], model: ModelSpec) -> str:
    return model.labels[int(probabilities.argmax())] if probabilities.max() >= model.uncertain_below else UNCERTAIN


def _named(probabilities: npt.NDArray[np.float64], labels: Sequence[str]) -> dict[str, float]:
    return {label: _round(value) for label, value in zip(labels, probabilities, strict=True)}


def _round(probability: float) -> float:
    return round(float(probability), DIGITS)
