"""Step 1 of 7: a key as its issuer asks for it, and as it is stored."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.errors import InvalidParameter

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.admission.plans import Limits

MAX_SCOPES = 64
MAX_ADDRESSES = 64

_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,62}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class KeySecret:
    """The digest of one secret of a key, and when a rotation ends it (None: not before the key ends)."""

    digest: bytes = field(repr=False)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """What the issuer of a key decides.

    Attributes:
        owner: The named person or system that it belongs to.
        tenant: The organisation: small letters, digits, ``._-``, at most 64.
        scopes: What it may do.
        plan: Name of a plan in ``policies/plans.yaml``.
        expires_at: When it ends; None is never.
        addresses: Networks (CIDR) that it may be used from; empty is anywhere.
        note: Why it exists.
        created_by: Key ID of the issuer; ``cli`` for an operator at the machine.
        limits: Limits of its own in place of the plan's.
        break_glass: Why it is made for an emergency, as a code; empty for an ordinary key.
    """

    owner: str
    tenant: str
    scopes: frozenset[str]
    plan: str
    expires_at: datetime | None = None
    addresses: tuple[str, ...] = ()
    note: str = ""
    created_by: str = "cli"
    limits: Limits = ()
    break_glass: str = ""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it is stored. Holds no secret, so all of it may be shown to an administrator of its tenant.

    ``revision`` counts its changes, its issue included; that it was used is none.
    """

    key_id: str
    owner: str
    tenant: str
    scopes: frozenset[str]
    plan: str
    created_at: datetime
    created_by: str
    note: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    addresses: tuple[str, ...]
    secrets: tuple[KeySecret, ...] = field(repr=False)
    revision: int = 1
    limits: Limits = ()
    break_glass: str = ""

    def status(self, now: datetime) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def as_new(self) -> NewKey:
        """What an issuer would have had to ask for to get this key."""
        return NewKey(
            owner=self.owner,
            tenant=self.tenant,
            scopes=self.scopes,
            plan=self.plan,
            expires_at=self.expires_at,
            addresses=self.addresses,
            note=self.note,
            created_by=self.created_by,
            limits=self.limits,
            break_glass=self.break_glass,
        )


def check_new_key(new: NewKey, now: datetime) -> None:
    """Refuse what the tables could not hold, or the authenticator could not hold to.

    Whether the scopes, the plan and its limits exist is the policies' to say, not the store's.

    Raises:
        InvalidParameter: A field does not fit; the detail names it.
    """
    if not 1 <= len(new.owner.strip()) <= 200 or not new.owner.isprintable():
        raise InvalidParameter("The owner must have 1 to 200 printable characters", parameter="owner")
    if not _TENANT.fullmatch(new.tenant):
        raise InvalidParameter(
            "The tenant must have 1 to 64 characters of a-z 0-9 . _ - and start and end with a letter or digit",
            parameter="tenant",
        )
    if not 1 <= len(new.scopes) <= MAX_SCOPES:
        raise InvalidParameter(f"A key needs 1 to {MAX_SCOPES} scopes", parameter="scopes")
    if not 1 <= len(new.plan) <= 64:
        raise InvalidParameter("The plan's name must have 1 to 64 characters", parameter="plan")
    if len(new.note) > 500 or not new.note.isprintable():
        raise InvalidParameter("The note must have at most 500 printable characters", parameter="note")
    if new.expires_at is not None and (new.expires_at.tzinfo is None or new.expires_at <= now):
        raise InvalidParameter("The key must expire in the future, at a time with a zone", parameter="expires_at")
    if len(new.addresses) > MAX_ADDRESSES:
        raise InvalidParameter(f"At most {MAX_ADDRESSES} networks", parameter="addresses")
    for address in new.addresses:
        try:
            ipaddress.ip_network(address)
        except ValueError:
            raise InvalidParameter(
                "A network must be written as 192.0.2.0/24 or 2001:db8::/32, without host bits", parameter="addresses"
            ) from None
