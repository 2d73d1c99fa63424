"""Step 7 of 7: the events of keys and tokens, and of those who ask for them. ``events.py`` has the whole list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from gateway.audit.event import AuditEvent, Outcome


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
