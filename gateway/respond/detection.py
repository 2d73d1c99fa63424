"""Step 6 of 7: a detector's output becomes the answer: boxes in the image's own pixels, frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gateway.models.spec import NO_FINDING
from gateway.respond.boxes import boxes
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

    import numpy as np
    import numpy.typing as npt

    from gateway.models.spec import ModelSpec
    from gateway.preprocess.placement import Placement
    from gateway.respond.parts import Asked

_DIGITS = 1
"""Digits after the point of a coordinate: a pixel of the model's input is several of the image's, mostly."""


class Box(Part):
    """Where a finding is: pixels of the stored image, from its top left corner; its edges are 0, columns and rows."""

    x_min: float = Field(description="Left edge", ge=0)
    y_min: float = Field(description="Upper edge", ge=0)
    x_max: float = Field(description="Right edge", ge=0)
    y_max: float = Field(description="Lower edge", ge=0)


class Detection(Part):
    """One finding."""

    label: str = Field(description="What it is")
    score: Probability = Field(description="The detector's score; not a calibrated probability")
    box: Box = Field(description="Where it is")


class DetectionFrame(Part):
    """One frame."""

    frame: FrameNumber
    prediction: str = Field(description="The label of the frame's surest finding, or `No finding`")
    confidence: Probability | None = Field(description="Its score; null without a finding")
    detections: list[Detection] = Field(description="The findings, the surest first")


class ImageSize(Part):
    """The image as it is stored, before any turning that its metadata asks for: boxes are in its pixels."""

    rows: int = Field(description="Pixels from top to bottom", ge=1)
    columns: int = Field(description="Pixels from left to right", ge=1)


class DetectionAnswer(Part):
    """What a detector says of one image."""

    prediction: str = Field(description="The label of the surest finding in all frames, or `No finding`")
    confidence: Probability | None = Field(
        description="Its score; null without a finding: a detector does not say how probable it is that there is none"
    )
    latency_ms: Latency
    task: Literal["detection"] = Field(description="What the model does")
    image: ImageSize = Field(description="The stored size of every frame")
    model: ModelAnswer
    frames: list[DetectionFrame] = Field(description="Each selected frame's findings; one entry for a single image too")
    deidentification: Deidentification
    warnings: Warnings
    id: RequestId
    study: Study = None
    instance: Instance = None


def detected(output: npt.NDArray[np.float32], placements: Sequence[Placement], asked: Asked) -> DetectionAnswer:
    """Make the answer of a detector.

    Args:
        output: float32 [frames, 4 + labels, anchors], finite, in the YOLO layout; see ``models.spec.Task``.
        placements: Where each frame's picture stands in the tensor.
        asked: All else.

    Raises:
        BadModelAnswer: Scores that are no scores.
        ValueError: The output fits neither the frames nor the labels: a defect, for it was validated.
    """
    count = len(asked.frame_numbers)
    if output.ndim != 3 or output.shape[:2] != (count, 4 + len(asked.model.labels)) or not count:
        raise ValueError("the output fits neither the frames nor the labels")
    frames = [
        _frame(number, _findings(one, place, asked.model))
        for number, one, place in zip(asked.frame_numbers, output, placements, strict=True)
    ]
    surest = max(frames, key=lambda frame: frame.confidence or 0.0)
    stored = placements[0].stored
    return DetectionAnswer(
        prediction=surest.prediction,
        confidence=surest.confidence,
        latency_ms=round(asked.latency_ms, 1),
        task="detection",
        image=ImageSize(rows=stored.rows, columns=stored.columns),
        model=asked.answered_by,
        frames=frames,
        deidentification=asked.report.as_json(),
        warnings=list(asked.warnings),
        id=asked.request_id,
        study=asked.pseudonyms.study,
        instance=asked.pseudonyms.instance,
    )


def _frame(number: int, findings: list[Detection]) -> DetectionFrame:
    return DetectionFrame(
        frame=number,
        prediction=findings[0].label if findings else NO_FINDING,
        confidence=findings[0].score if findings else None,
        detections=findings,
    )


def _findings(output: npt.NDArray[np.float32], place: Placement, model: ModelSpec) -> list[Detection]:
    """Of one frame. What lies in the grey beside the picture is no finding."""
    found = boxes(output, model.detection)
    corners = place.to_stored(found.corners).round(_DIGITS).tolist()
    return [
        Detection(
            label=model.labels[label],
            score=rounded(score),
            box=Box(x_min=left, y_min=top, x_max=right, y_max=bottom),
        )
        for (left, top, right, bottom), label, score in zip(corners, found.labels, found.scores, strict=True)
        if left < right and top < bottom
    ]
