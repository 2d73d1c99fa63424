"""Step 1 of 7: this gateway as an issuer: short access tokens (RFC 9068) for clients, and who their bearers are."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.admission.authenticate import CredentialRefused
from gateway.admission.principal import Principal
from gateway.admission.tokens import Expected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.admission.client_record import ClientRecord
    from gateway.admission.clients import Clients
    from gateway.admission.own_keys import OwnKeys
    from gateway.admission.tokens import Claims, VerifyingKey

NAME = "cordon"
"""What ``POST /v1/admin/tokens/revoke`` calls this issuer; no other may have the name."""
TYPE = "at+jwt"
LEEWAY_SECONDS = 30

_TOKEN_ID = re.compile(r"(client_[0-9A-Za-z]{12})\.[A-Za-z0-9_-]{22}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token as it is given away.

    Attributes:
        text: The token. Secret.
        token_id: Its ``jti``.
        seconds: How long it is good for.
    """

    text: str = field(repr=False)
    token_id: str
    seconds: int


class OwnIssuer:
    """Makes tokens, and knows their bearers.

    Args:
        url: ``iss`` and ``aud`` of its tokens: this gateway, as callers know it.
        keys: Sign and verify.
        clients: Who there is.
        seconds: How long a token is good for.
        now: Seconds since the epoch.
    """

    def __init__(
        self, url: str, keys: OwnKeys, clients: Clients, *, seconds: int, now: Callable[[], float] = time.time
    ) -> None:
        self._url = url
        self._keys = keys
        self._clients = clients
        self._seconds = seconds
        self._now = now
        self._expected = Expected(url, url, frozenset({TYPE}), lifetime_seconds=seconds, leeway_seconds=LEEWAY_SECONDS)

    @property
    def issuer(self) -> str:
        """``iss`` of its tokens."""
        return self._url

    @property
    def expected(self) -> Expected:
        """What they must say."""
        return self._expected

    def give(self, client: ClientRecord, scopes: Iterable[str]) -> AccessToken:
        """A new token for a client that was authenticated. No longer than the client itself."""
        now = int(self._now())
        ends = now + self._seconds
        if client.expires_at is not None:
            ends = min(ends, int(client.expires_at.timestamp()))
        token_id = f"{client.client_id}.{secrets.token_urlsafe(16)}"
        claims = {
            "iss": self._url,
            "aud": self._url,
            "sub": client.client_id,
            "client_id": client.client_id,
            "jti": token_id,
            "iat": now,
            "exp": ends,
            "scope": " ".join(sorted(scopes)),
        }
        return AccessToken(self._keys.sign(claims, TYPE), token_id, ends - now)

    async def find_key(self, key_id: str) -> VerifyingKey | None:
        """See ``bearer.Issuer``."""
        return self._keys.find(key_id)

    async def principal(self, claims: Claims) -> Principal:
        """See ``bearer.Issuer``. What the client may do now is the most that its token may."""
        client = await self._clients.find(claims.subject)
        if client is None:
            raise CredentialRefused(reason="unknown")
        status = client.status(datetime.fromtimestamp(self._now(), UTC))
        if status != "active":
            raise CredentialRefused(reason="expired" if status == "expired" else "revoked").about(client.client_id)
        scopes = client.scopes & frozenset(str(claims.members.get("scope", "")).split())
        return Principal(client.client_id, client.owner, client.tenant, scopes, client.plan)


def client_of(token_id: str) -> str | None:
    """The client whose token has this ``jti``; None if it is none of ours."""
    shape = _TOKEN_ID.fullmatch(token_id)
    return shape[1] if shape else None
