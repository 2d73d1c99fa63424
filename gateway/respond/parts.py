"""Step 6 of 7: what the answers of all tasks have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.deid.image import Pseudonyms
    from gateway.deid.report import DeidReport
    from gateway.models.spec import ModelSpec

DIGITS = 6
"""Digits after the point in every probability; the sum over the labels is 1 to within half of that a label."""

Probability = Annotated[float, Field(ge=0, le=1)]
FrameNumber = Annotated[int, Field(description="Frame number in the object, 1-based as in DICOM", ge=1)]
Latency = Annotated[float, Field(description="Milliseconds from the admitted body to this answer", ge=0)]
Deidentification = Annotated[
    dict[str, Any],
    Field(description="What was removed: counts, tag groups, codes and the policy's digest; never a value"),
]
Warnings = Annotated[list[str], Field(description="What to bear in mind when reading the answer")]
RequestId = Annotated[
    str, Field(description="The request's correlation ID; also in X-Request-ID, the log and the audit record")
]
Study = Annotated[str | None, Field(description="Pseudonymous Study Instance UID, if the object has one")]
Instance = Annotated[str | None, Field(description="Pseudonymous SOP Instance UID, if the object has one")]


class Part(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModelAnswer(Part):
    """Which model answered, to the byte."""

    name: str = Field(description="The model's name")
    version: str = Field(description="The version that answered, as the model server names it")
    digest: str = Field(description="SHA-256 of its weights, hex")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """All that an answer says beside what the model said.

    Attributes:
        model: The model asked.
        model_version: The version that answered.
        frame_numbers: The frames' numbers in the object, 1-based, in the order of the model's output.
        total_frames: Frames in the object.
        report: What de-identification did.
        pseudonyms: Stand-ins of the object's identifiers.
        warnings: Sentences for the caller.
        request_id: Correlation ID.
        latency_ms: Milliseconds so far.
    """

    model: ModelSpec
    model_version: str
    frame_numbers: Sequence[int]
    total_frames: int
    report: DeidReport
    pseudonyms: Pseudonyms
    warnings: Sequence[str]
    request_id: str
    latency_ms: float

    @property
    def answered_by(self) -> ModelAnswer:
        """The model, as an answer names it."""
        return ModelAnswer(name=self.model.name, version=self.model_version, digest=self.model.digest)


def rounded(probability: float) -> float:
    """As it stands in an answer."""
    return round(float(probability), DIGITS)
