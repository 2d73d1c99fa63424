"""Step 7 of 7: the closed list of what is recorded. Free of identifiers by construction: no field takes free text.

    AuditEvent                     request_id, actor, tenant
    ├── RequestStarted             request.started     admitted; durable before inference
    ├── RequestFinished            request.finished    answered; durable before the answer's last byte
    ├── AccessDenied               access.denied       not admitted; as counts, so that no flood fills the log
    ├── KeyIssued                  key.issued
    ├── KeyRotated                 key.rotated
    ├── KeyRevoked                 key.revoked
    ├── KeyUpdated                 key.updated
    ├── KeyRequested               key.requested       a change of a key that waits for a second pair of eyes
    ├── KeyRequestDecided          key.request-decided
    ├── BreakGlassIssued           key.break-glass     a key for an emergency
    ├── BreakGlassUsed             key.break-glass-used
    ├── TokenRevoked               token.revoked       a token of an outside issuer was ended before its time
    ├── SwitchChanged              switch.changed      something was switched off, or on again
    ├── GatewayStarted             gateway.started
    ├── GatewayStopped             gateway.stopped
    └── AuditRead                  audit.read          someone looked at, or took away, part of this log

A field holds a number, a code from a list of ours, an ID or digest that we made, or the peer's address. The address may
identify a person (45 CFR 164.514(b)(2)(i)(O)): it is kept here and stays out of every ``repr``, so out of every log.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from gateway.audit.chain import MAX_INTEGER

Outcome = Literal["success", "refused", "failed"]

SCHEMA = 2
"""Version of the fields below; part of every record. A change that a reader must know of raises it.

1: the first. 2: ``output_digest`` and ``replay_of``; the report tells its options as codes.
"""

SYSTEM = "system"
"""The actor of what the gateway does by itself."""
ANONYMOUS = "anonymous"
"""The actor of a request without a good credential."""

MAX_TEXT = 200
"""Longest text in a record, in characters."""


class UnfitEvent(ValueError):
    """A field that must not be recorded: a defect of the code that made the event. Names the field, not the value."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """The root of all event types.

    Attributes:
        request_id: Correlation ID.
        actor: Key ID of who did it; ``system`` for the gateway itself.
        tenant: The actor's tenant.
    """

    type_name: ClassVar[str] = ""

    request_id: str
    actor: str
    tenant: str


@dataclass(frozen=True, slots=True)
class RequestStarted(AuditEvent):
    """A request was admitted; durable before inference."""

    type_name: ClassVar[str] = "request.started"

    route: str
    address: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RequestFinished(AuditEvent):
    """A request's answer is decided; durable before the answer's last byte.

    Attributes:
        input_digest: SHA-256 of the upload, hex.
        tensor_digest: SHA-256 of what the model was given, hex; empty where no model was asked.
        output_digest: SHA-256 of the de-identified object that is given back, hex; empty where none is.
        patient: The patient's pseudonym.
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
    deidentification: dict[str, Any] = field(default_factory=dict)
    milliseconds: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessDenied(AuditEvent):
    """Requests that were not admitted: as many alike as came within some seconds.

    Attributes:
        kind: What was missing: a good credential, the scope, or room in a window.
        reason: Code of why, from the lists of admission; never shown to the caller.
        count: How many.
        seconds: Within how long.
        request_id: Of the first of them.
        address: Of the first of them; empty where more sources came than are told apart.
    """

    type_name: ClassVar[str] = "access.denied"

    kind: Literal["unauthenticated", "forbidden", "quota"]
    reason: str
    route: str
    address: str = field(repr=False)
    count: int
    seconds: int
    outcome: Outcome = "refused"


@dataclass(frozen=True, slots=True)
class KeyIssued(AuditEvent):
    """An API key was made.

    Attributes:
        key: Its public ID. Its owner's name is in the table of keys, whose rows are never deleted.
        key_tenant: Its tenant.
        expires: When it ends, ISO 8601 in UTC; empty if never.
    """

    type_name: ClassVar[str] = "key.issued"

    key: str
    key_tenant: str
    scopes: tuple[str, ...]
    plan: str
    expires: str = ""
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class KeyRotated(AuditEvent):
    """A key got a new secret; the old one stays good for ``overlap_seconds``."""

    type_name: ClassVar[str] = "key.rotated"

    key: str
    key_tenant: str
    overlap_seconds: int
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class KeyRevoked(AuditEvent):
    """A key was ended."""

    type_name: ClassVar[str] = "key.revoked"

    key: str
    key_tenant: str
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class KeyUpdated(AuditEvent):
    """A key was changed; ``changed`` names the fields, ``scopes`` and ``plan`` are those that it has now."""

    type_name: ClassVar[str] = "key.updated"

    key: str
    key_tenant: str
    changed: tuple[str, ...]
    scopes: tuple[str, ...]
    plan: str
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class KeyRequested(AuditEvent):
    """A change of a key waits for another's approval until ``expires``; ``scopes`` and ``plan`` are what it would have.

    Attributes:
        kind: ``issue``, ``update`` or ``rotate``.
    """

    type_name: ClassVar[str] = "key.requested"

    request: str
    kind: str
    key: str
    key_tenant: str
    scopes: tuple[str, ...]
    plan: str
    expires: str
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class KeyRequestDecided(AuditEvent):
    """A request for a key was approved, rejected or withdrawn, or nobody decided it in time (``expired``)."""

    type_name: ClassVar[str] = "key.request-decided"

    request: str
    kind: str
    key: str
    key_tenant: str
    requested_by: str
    decision: str
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class BreakGlassIssued(KeyIssued):
    """A key for an emergency was made; ``reason`` is a code of ``admission/break_glass.py``."""

    type_name: ClassVar[str] = "key.break-glass"

    reason: str = ""


@dataclass(frozen=True, slots=True)
class BreakGlassUsed(AuditEvent):
    """A request came in with a key for an emergency; durable before the request goes on."""

    type_name: ClassVar[str] = "key.break-glass-used"

    route: str
    address: str = field(repr=False)
    reason: str
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class TokenRevoked(AuditEvent):
    """A token of an outside issuer was ended before its time.

    Attributes:
        issuer: Its issuer's name in the access policy.
        token: SHA-256 of its ``jti``, hex: the issuer chose the ``jti``, so it may hold anything.
    """

    type_name: ClassVar[str] = "token.revoked"

    issuer: str
    token: str
    outcome: Outcome = "success"


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
class AuditRead(AuditEvent):
    """Part of this log was read.

    Attributes:
        action: How.
        filters: Names of the filters that were set; not what to.
    """

    type_name: ClassVar[str] = "audit.read"

    action: Literal["list", "export", "verify"]
    filters: tuple[str, ...] = ()
    outcome: Outcome = "success"


EVENT_TYPES: dict[str, type[AuditEvent]] = {
    kind.type_name: kind
    for kind in (
        RequestStarted,
        RequestFinished,
        AccessDenied,
        KeyIssued,
        KeyRotated,
        KeyRevoked,
        KeyUpdated,
        KeyRequested,
        KeyRequestDecided,
        BreakGlassIssued,
        BreakGlassUsed,
        TokenRevoked,
        SwitchChanged,
        GatewayStarted,
        GatewayStopped,
        AuditRead,
    )
}
"""Type name to class: all that can be recorded."""


def fields_of(event: AuditEvent) -> dict[str, Any]:
    """What the record of this event will hold: its fields, its type and the schema, in types that JSON has.

    A number that is not whole becomes decimal text, for the canonical form has whole numbers alone.

    What passes here can be written: ``chain.canonical`` refuses none of it.

    Raises:
        UnfitEvent: The event is not of the closed list, or a value is of another type, too long, too large, or holds a
            character that does not print.
    """
    if EVENT_TYPES.get(event.type_name) is not type(event):
        raise UnfitEvent(f"{type(event).__name__} is not in the list of events")
    body = {each.name: _plain(getattr(event, each.name), each.name) for each in fields(event)}
    return {**body, "type": event.type_name, "schema": SCHEMA}


def _plain(value: object, where: str) -> Any:
    match value:
        case str():
            if len(value) > MAX_TEXT or not value.isprintable():
                raise UnfitEvent(f"{where}: longer than {MAX_TEXT} characters, or with characters that do not print")
            return str(value)
        case bool() | None:
            return value
        case int():
            if abs(value) > MAX_INTEGER:
                raise UnfitEvent(f"{where}: a whole number beyond 53 bits")
            return int(value)
        case float():
            return f"{value:.12g}"
        case tuple() | list():
            return [_plain(each, where) for each in value]
        case dict():
            return {_name(name, where): _plain(each, where) for name, each in value.items()}
    raise UnfitEvent(f"{where}: a {type(value).__name__} cannot be recorded")


def _name(name: object, where: str) -> str:
    if not isinstance(name, str) or not name.isascii():
        raise UnfitEvent(f"{where}: a name that is not ASCII text")
    return str(_plain(name, where))
