"""Step 7 of 7: the closed list of what is recorded. Free of identifiers by construction: no field takes free text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["success", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """The root of all event types.

    Attributes:
        request_id: Correlation ID.
        actor: Key ID of who did it; ``system`` for the gateway itself.
        tenant: The actor's tenant.
    """

    request_id: str
    actor: str
    tenant: str


@dataclass(frozen=True, slots=True)
class RequestStarted(AuditEvent):
    """A request was admitted; durable before inference."""

    route: str
    address: str


@dataclass(frozen=True, slots=True)
class RequestFinished(AuditEvent):
    """A request's answer is decided; durable before the answer's last byte."""

    route: str
    address: str
    outcome: Outcome
    status: int
    problem: str = ""
    media_type: str = ""
    input_digest: str = ""
    tensor_digest: str = ""
    patient: str = ""
    model: str = ""
    model_version: str = ""
    model_digest: str = ""
    prediction: str = ""
    deidentification: dict[str, Any] = field(default_factory=dict)
    milliseconds: dict[str, int] = field(default_factory=dict)
