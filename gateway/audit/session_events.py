"""Step 7 of 7: the events of people at the console."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from gateway.audit.event import AuditEvent, Outcome


@dataclass(frozen=True, slots=True)
class SessionStarted(AuditEvent):
    """Someone signed in to the console.

    Attributes:
        method: Kind of the credential.
    """

    type_name: ClassVar[str] = "session.started"

    method: Literal["key", "login"]
    address: str = field(repr=False)
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class SessionEnded(AuditEvent):
    """Someone signed out of the console, or ended all other sessions of the same credential."""

    type_name: ClassVar[str] = "session.ended"

    reason: Literal["signed-out", "others-ended"]
    outcome: Outcome = "success"
