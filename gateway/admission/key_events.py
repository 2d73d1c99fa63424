"""Step 1 of 7: what goes on record of keys. IDs, codes and times: no owner, no note, no address."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from gateway.audit.events import (
    BreakGlassIssued,
    KeyIssued,
    KeyRequestDecided,
    KeyRequested,
    KeyRevoked,
    KeyRotated,
    KeyUpdated,
)

if TYPE_CHECKING:
    from gateway.admission.key_record import KeyRecord
    from gateway.admission.key_request import KeyRequest
    from gateway.audit.events import AuditEvent

Who = tuple[str, str, str]
"""The first three fields of an event."""


def issued(who: Who, record: KeyRecord) -> KeyIssued:
    """A key was made; one for an emergency has an event of its own."""
    scopes = tuple(sorted(record.scopes))
    ends = record.expires_at.astimezone(UTC).isoformat() if record.expires_at else ""
    if record.break_glass:
        reason = record.break_glass
        return BreakGlassIssued(*who, record.key_id, record.tenant, scopes, record.plan, ends, reason=reason)
    return KeyIssued(*who, record.key_id, record.tenant, scopes, record.plan, ends)


def updated(who: Who, record: KeyRecord, changed: tuple[str, ...]) -> KeyUpdated:
    """A key was changed."""
    return KeyUpdated(*who, record.key_id, record.tenant, changed, tuple(sorted(record.scopes)), record.plan)


def rotated(who: Who, record: KeyRecord, overlap_seconds: int) -> KeyRotated:
    """A key got another secret."""
    return KeyRotated(*who, record.key_id, record.tenant, overlap_seconds=overlap_seconds)


def revoked(who: Who, record: KeyRecord) -> KeyRevoked:
    """A key was ended."""
    return KeyRevoked(*who, record.key_id, record.tenant)


def requested(who: Who, request: KeyRequest) -> KeyRequested:
    """A change waits."""
    return KeyRequested(
        *who,
        request=request.request_id,
        kind=request.kind,
        key=request.key_id,
        key_tenant=request.new.tenant,
        scopes=tuple(sorted(request.new.scopes)),
        plan=request.new.plan,
        expires=request.expires_at.isoformat(),
    )


def decided(who: Who, request: KeyRequest) -> KeyRequestDecided:
    """It waits no longer."""
    return KeyRequestDecided(
        *who,
        request=request.request_id,
        kind=request.kind,
        key=request.key_id,
        key_tenant=request.new.tenant,
        requested_by=request.requested_by,
        decision=request.decision or "",
    )


def in_force(who: Who, request: KeyRequest, record: KeyRecord) -> AuditEvent:
    """What was approved, as it would be on record if it had been done at once."""
    match request.kind:
        case "issue":
            return issued(who, record)
        case "update":
            return updated(who, record, request.changed)
        case "rotate":
            return rotated(who, record, int(request.overlap.total_seconds()))
