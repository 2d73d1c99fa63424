"""Step 7 of 7: the events of requests and refusals at the door. ``events.py`` has the whole list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from gateway.audit.event import AuditEvent, Outcome


@dataclass(frozen=True, slots=True)
class RequestStarted(AuditEvent):
    """A request was admitted; durable before inference.

    Attributes:
        route: The route's template.
        address: The peer's.
    """

    type_name: ClassVar[str] = "request.started"

    route: str
    address: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RequestFinished(AuditEvent):
    """A request's answer is decided; durable before the answer's last byte.

    Attributes:
        route: The route's template.
        address: The peer's.
        outcome: How it ended.
        status: HTTP status.
        problem: Slug of the problem that was answered; empty for a success.
        media_type: Of the upload.
        input_digest: SHA-256 of the upload, hex.
        tensor_digest: SHA-256 of what the model was given, hex; empty where no model was asked.
        output_digest: SHA-256 of the de-identified object that is given back, hex; empty where none is.
        patient: The patient's pseudonym.
        model: Name of the model that was asked.
        model_version: Its version.
        model_digest: SHA-256 of its weights, hex.
        prediction: The class that it gave.
        cached: Whether its answer was kept from an earlier request of the tenant with the same tensor.
        milliseconds: Step to how long it took.
        replay_of: Correlation ID of the request whose answer was given again, for the same Idempotency-Key.
        deidentification: The report (``gateway/deid/report.py``): counts, codes, tag groups, the policy's digest.
    """

    type_name: ClassVar[str] = "request.finished"

    route: str
    address: str = field(repr=False)
    outcome: Outcome
    status: int
    problem: str = ""
    media_type: str = ""
    input_digest: str = ""
    tensor_digest: str = ""
    output_digest: str = ""
    replay_of: str = ""
    patient: str = ""
    model: str = ""
    model_version: str = ""
    model_digest: str = ""
    prediction: str = ""
    cached: bool = False
    deidentification: dict[str, Any] = field(default_factory=dict)
    milliseconds: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessDenied(AuditEvent):
    """Requests that were not admitted: as many alike as came within some seconds.

    Attributes:
        kind: What was missing: a good credential, the scope, room in a window, or time before too long a queue.
        reason: Code of why, from the lists of admission; never shown to the caller.
        route: The route's template.
        count: How many.
        seconds: Within how long.
        request_id: Of the first of them.
        address: Of the first of them; empty where more sources came than are told apart.
    """

    type_name: ClassVar[str] = "access.denied"

    kind: Literal["unauthenticated", "forbidden", "quota", "overload"]
    reason: str
    route: str
    address: str = field(repr=False)
    count: int
    seconds: int
    outcome: Outcome = "refused"
