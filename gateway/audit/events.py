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
    ├── TokenRevoked               token.revoked       a token was ended before its time
    ├── ClientRegistered           client.registered   a system that signs in with a key pair of its own
    ├── ClientChanged              client.changed      it was disabled, enabled, removed, or has other keys
    ├── TokenIssued                token.issued        a client was given an access token
    ├── SwitchChanged              switch.changed      something was switched off, or on again
    ├── ModelChanged               model.changed       another version of a model answers, or other ones are loaded
    ├── SessionStarted             session.started     someone signed in to the console
    ├── SessionEnded               session.ended       someone signed out of it
    ├── GatewayStarted             gateway.started
    ├── GatewayStopped             gateway.stopped
    ├── PolicyLoaded               policy.loaded       a process works by these policies
    ├── PolicyChanged              policy.changed      one of them is not what it was at the start before
    ├── FailureModeChanged         failure.changed     a part works without what it needs, or no longer does
    ├── AuditRead                  audit.read          someone looked at part of this log, or verified it
    ├── PatientSought              audit.patient       someone had a patient's pseudonym computed, to search by it
    ├── AuditExported              audit.exported      part of this log was taken away
    ├── AuditTruncated             audit.truncated     records older than their retention were given up
    └── ChainKeyChanged            audit.key-changed   from here on records are made with another key

A field holds a number, a code from a list of ours, an ID or digest that we made, or the peer's address. The address may
identify a person (45 CFR 164.514(b)(2)(i)(O)): it is kept here, in clear or as a keyed hash (``AUDIT_ADDRESS``), and
stays out of every ``repr``, so out of every log. ``docs/audit/events.md`` is made from these types.
"""

from __future__ import annotations

from typing import Any

from gateway.audit.client_events import ClientChanged, ClientRegistered, TokenIssued
from gateway.audit.event import ANONYMOUS, SYSTEM, AuditEvent, Outcome, UnfitEvent, plain_fields
from gateway.audit.key_events import (
    BreakGlassIssued,
    BreakGlassUsed,
    KeyIssued,
    KeyRequestDecided,
    KeyRequested,
    KeyRevoked,
    KeyRotated,
    KeyUpdated,
    TokenRevoked,
)
from gateway.audit.log_events import AuditExported, AuditRead, AuditTruncated, ChainKeyChanged, PatientSought
from gateway.audit.request_events import AccessDenied, RequestFinished, RequestStarted
from gateway.audit.session_events import SessionEnded, SessionStarted
from gateway.audit.system_events import (
    FailureModeChanged,
    GatewayStarted,
    GatewayStopped,
    ModelChanged,
    PolicyChanged,
    PolicyLoaded,
    SwitchChanged,
)

__all__ = [
    "ANONYMOUS",
    "EVENT_TYPES",
    "SCHEMA",
    "SYSTEM",
    "AuditEvent",
    "Outcome",
    "UnfitEvent",
    "fields_of",
    "RequestStarted",
    "RequestFinished",
    "AccessDenied",
    "KeyIssued",
    "KeyRotated",
    "KeyRevoked",
    "KeyUpdated",
    "KeyRequested",
    "KeyRequestDecided",
    "BreakGlassIssued",
    "BreakGlassUsed",
    "TokenRevoked",
    "ClientRegistered",
    "ClientChanged",
    "TokenIssued",
    "SwitchChanged",
    "ModelChanged",
    "SessionStarted",
    "SessionEnded",
    "GatewayStarted",
    "GatewayStopped",
    "PolicyLoaded",
    "PolicyChanged",
    "FailureModeChanged",
    "AuditRead",
    "PatientSought",
    "AuditExported",
    "AuditTruncated",
    "ChainKeyChanged",
]

SCHEMA = 3
"""Version of the fields below; part of every record. A change that a reader must know of raises it.

1: the first. 2: ``output_digest`` and ``replay_of``; the report tells its options as codes. 3: ``prev`` is the public
digest of the record before, and ``chain_key`` names the chain's key (``chain.py``); an address may be a keyed hash.
"""


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
        ClientRegistered,
        ClientChanged,
        TokenIssued,
        SwitchChanged,
        ModelChanged,
        SessionStarted,
        SessionEnded,
        GatewayStarted,
        GatewayStopped,
        PolicyLoaded,
        PolicyChanged,
        FailureModeChanged,
        AuditRead,
        PatientSought,
        AuditExported,
        AuditTruncated,
        ChainKeyChanged,
    )
}
"""Type name to class: all that can be recorded."""


def fields_of(event: AuditEvent) -> dict[str, Any]:
    """What the record of this event will hold: its fields, its type and the schema, in types that JSON has.

    What passes here can be written: ``chain.canonical`` refuses none of it.

    Raises:
        UnfitEvent: The event is not of the closed list, or a value is of another type, too long, too large, or holds a
            character that does not print.
    """
    if EVENT_TYPES.get(event.type_name) is not type(event):
        raise UnfitEvent(f"{type(event).__name__} is not in the list of events")
    return {**plain_fields(event), "type": event.type_name, "schema": SCHEMA}
