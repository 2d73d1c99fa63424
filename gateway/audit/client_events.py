"""Step 7 of 7: the events of clients, and of the tokens they are given. ``events.py`` has the whole list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from gateway.audit.event import AuditEvent, Outcome


@dataclass(frozen=True, slots=True)
class ClientRegistered(AuditEvent):
    """A client that signs in with a key pair of its own was registered.

    Attributes:
        client: Its public ID. Its owner's name is in the table of clients, whose rows are never deleted.
        client_tenant: Its tenant.
        keys: Where its public keys are: stored, or at a URL.
        expires: When it ends, ISO 8601 in UTC; empty if never.
    """

    type_name: ClassVar[str] = "client.registered"

    client: str
    client_tenant: str
    scopes: tuple[str, ...]
    plan: str
    keys: Literal["stored", "url"]
    expires: str = ""
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class ClientChanged(AuditEvent):
    """A client was disabled, enabled, ended for good, or given other keys."""

    type_name: ClassVar[str] = "client.changed"

    client: str
    client_tenant: str
    action: Literal["disable", "enable", "remove", "keys"]
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class TokenIssued(AuditEvent):
    """A client (the actor) was given an access token; durable before the token leaves.

    Attributes:
        token: The token's ``jti``, which is ours: the client's ID and random characters.
        scopes: What the token may do.
        seconds: How long it is good for.
    """

    type_name: ClassVar[str] = "token.issued"

    address: str = field(repr=False)
    token: str
    scopes: tuple[str, ...]
    seconds: int
    outcome: Outcome = "success"
