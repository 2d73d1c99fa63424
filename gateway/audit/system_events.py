"""Step 7 of 7: the events of the gateway itself: life, switches, policies, failures. ``events.py`` has the list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from gateway.audit.event import AuditEvent, Outcome


@dataclass(frozen=True, slots=True)
class SwitchChanged(AuditEvent):
    """Something was switched off, or on again.

    Attributes:
        kind: ``all``, ``tenant``, ``key`` or ``model``.
        name: The tenant, the key's public ID, the model; ``all`` for everything.
        off: Off or on.
        reason: Why it was switched off, as a code of ``admission/switches.py``.
    """

    type_name: ClassVar[str] = "switch.changed"

    kind: str
    name: str
    off: bool
    reason: str = ""
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class ModelChanged(AuditEvent):
    """Which version of a model answers was changed, or what of it is loaded.

    Attributes:
        model: Its name.
        version: The version that it was about.
        digest: SHA-256 of that version's weights, hex.
        action: What was done.
        shares: Version to percent of the patients, from then on.
        shadow: The version that is given copies from then on; empty for none.
        shadow_share: Percent of the requests that are copied.
        reason: Why, as a code of ``models/routes.py``.
    """

    type_name: ClassVar[str] = "model.changed"

    model: str
    version: str
    digest: str
    action: Literal["canary", "rollback", "shadow", "load", "unload"]
    shares: dict[str, int]
    shadow: str
    shadow_share: int
    reason: str
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class GatewayStarted(AuditEvent):
    """A gateway process is ready to serve.

    Attributes:
        version: The gateway's.
        process: Number of the process on its machine.
        digests: Name to SHA-256 of the policies and models that it works by.
    """

    type_name: ClassVar[str] = "gateway.started"

    version: str
    process: int
    digests: dict[str, str] = field(default_factory=dict)
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class GatewayStopped(AuditEvent):
    """A gateway process ends in order. A start without a stop before it tells of a crash."""

    type_name: ClassVar[str] = "gateway.stopped"

    version: str
    process: int
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class PolicyLoaded(AuditEvent):
    """A gateway process works by these policies.

    Attributes:
        process: Number of the process on its machine.
        digests: Name to SHA-256 of each policy.
    """

    type_name: ClassVar[str] = "policy.loaded"

    process: int
    digests: dict[str, str]
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class PolicyChanged(AuditEvent):
    """A policy is not what it was when a process last said what it works by.

    Attributes:
        policy: Its name, as in ``policy.loaded``.
        digest: SHA-256 of what it is now; empty if there is none of that name any more.
        previous: SHA-256 of what it was; empty if there was none.
    """

    type_name: ClassVar[str] = "policy.changed"

    policy: str
    digest: str
    previous: str
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class FailureModeChanged(AuditEvent):
    """A part began to work without what it needs, or has it again.

    Attributes:
        part: Which part of the gateway.
        mode: How it works from now on; ``normal`` when it has again what it needs.
        previous: How it worked until now.
    """

    type_name: ClassVar[str] = "failure.changed"

    part: Literal["limiter"]
    mode: Literal["normal", "local", "closed", "open"]
    previous: Literal["normal", "local", "closed", "open"]
    outcome: Outcome = "success"
