"""Step 1 of 7: a client as it is registered, and as it is stored: a system that signs in with a key pair of its own."""

from __future__ import annotations

import re
import secrets
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.admission.jwks_fetch import check_url
from gateway.admission.tokens import public_key
from gateway.errors import InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

ALGORITHMS = ("RS384", "ES384")
"""Those of SMART App Launch, client-confidential-asymmetric."""
MAX_CLIENT_KEYS = 16
MAX_CLIENT_SCOPES = 64
ID_LENGTH = 12

_ALPHABET = string.digits + string.ascii_letters
_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,62}[a-z0-9])?")
_MEMBERS = ("kty", "kid", "alg", "use", "key_ops", "n", "e", "crv", "x", "y")
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class NewClient:
    """What whoever registers a client decides.

    Attributes:
        owner: The named person or system that it belongs to.
        tenant: The organisation: small letters, digits, ``._-``, at most 64.
        scopes: The most that a token of it may do.
        plan: Name of a plan in ``policies/plans.yaml``.
        jwks: Its public keys as a JWK set; None if they are at ``jwks_url``.
        jwks_url: Where they are, https; empty if they are in ``jwks``.
        expires_at: When it ends; None is never.
        note: Why it exists.
        created_by: Key ID of who registered it; ``cli`` for an operator at the machine.
    """

    owner: str
    tenant: str
    scopes: frozenset[str]
    plan: str
    jwks: Mapping[str, Any] | None = field(default=None, repr=False)
    jwks_url: str = ""
    expires_at: datetime | None = None
    note: str = ""
    created_by: str = "cli"


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """A client as it is stored. Holds nothing secret: its private key never leaves it."""

    client_id: str
    owner: str
    tenant: str
    scopes: frozenset[str]
    plan: str
    jwks: Mapping[str, Any] | None = field(repr=False)
    jwks_url: str
    note: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    disabled_at: datetime | None
    removed_at: datetime | None
    last_used_at: datetime | None

    def status(self, now: datetime) -> str:
        """``active``, ``expired``, ``disabled`` or ``removed``."""
        if self.removed_at is not None:
            return "removed"
        if self.disabled_at is not None:
            return "disabled"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


def new_client_id() -> str:
    """``client_`` and twelve characters, from the system's random source."""
    return "client_" + "".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH))


def check_new_client(new: NewClient, now: datetime) -> None:
    """Refuse what the table could not hold.

    Whether the scopes and the plan exist is the policies' to say, not the store's.

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
    if not 1 <= len(new.scopes) <= MAX_CLIENT_SCOPES:
        raise InvalidParameter(f"A client needs 1 to {MAX_CLIENT_SCOPES} scopes", parameter="scopes")
    if not 1 <= len(new.plan) <= 64:
        raise InvalidParameter("The plan's name must have 1 to 64 characters", parameter="plan")
    if len(new.note) > 500 or not new.note.isprintable():
        raise InvalidParameter("The note must have at most 500 printable characters", parameter="note")
    if new.expires_at is not None and (new.expires_at.tzinfo is None or new.expires_at <= now):
        raise InvalidParameter("The client must expire in the future, at a time with a zone", parameter="expires_at")


def checked_keys(jwks: Mapping[str, Any] | None, jwks_url: str) -> tuple[dict[str, Any] | None, str]:
    """A client's keys as they are stored: a JWK set of nothing but public keys, or an https URL.

    Raises:
        InvalidParameter: Both or neither is given, or what is given cannot be used; the detail says why.
    """
    if (jwks is None) == (not jwks_url):
        raise InvalidParameter("Give the client's keys either as a JWK set or by a URL of one", parameter="jwks")
    if jwks is None:
        try:
            check_url(jwks_url)
        except ValueError as error:
            raise InvalidParameter(f"The URL of the JWK set cannot be used: {error}", parameter="jwks_url") from None
        return None, jwks_url
    members = jwks.get("keys")
    if not isinstance(members, list) or not 1 <= len(members) <= MAX_CLIENT_KEYS:
        raise InvalidParameter(f"A JWK set has 'keys', 1 to {MAX_CLIENT_KEYS} of them", parameter="jwks")
    names = [_checked_key(member, number) for number, member in enumerate(members, 1)]
    if len(set(names)) < len(names):
        raise InvalidParameter("The JWK set cannot be used: two keys have one kid", parameter="jwks")
    return {"keys": [{name: member[name] for name in _MEMBERS if name in member} for member in members]}, ""


def _checked_key(member: object, number: int) -> str:
    """The key's ``kid``."""
    if isinstance(member, dict) and _PRIVATE & set(member):
        fault = "a private or symmetric key. Others have seen it now: make a new one"
        raise InvalidParameter(f"The JWK set cannot be used: key {number} is {fault}", parameter="jwks")
    try:
        return public_key(member if isinstance(member, dict) else {}, ALGORITHMS).key_id
    except ValueError as error:
        fault = f"{error}; {' and '.join(ALGORITHMS)} are taken"
        raise InvalidParameter(f"The JWK set cannot be used: key {number} is {fault}", parameter="jwks") from None
