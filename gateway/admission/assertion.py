"""Step 1 of 7: a client's assertion (RFC 7523 §2.2, SMART App Launch client-confidential-asymmetric), good once.

    shape ─▶ client ─▶ its key ─▶ signature, claims ─▶ used before?

The strict rules of ``tokens.py``, and: ``iss`` and ``sub`` are the client, ``aud`` is the token endpoint and nothing
else, the end is at most five minutes away, and a ``jti`` counts once, over all processes and nodes.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from gateway.admission.tokens import Expected, TokenReason, TokenRefused, look, verify
from gateway.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admission.client_record import ClientRecord
    from gateway.admission.clients import Clients
    from gateway.admission.tokens import Claims, UnverifiedToken

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME_SECONDS = 300
LEEWAY_SECONDS = 30
FORGET_SECONDS = 60.0
TYPES = frozenset({"jwt", "client-authentication+jwt"})
"""``JWT`` is SMART's; the other is that of draft-ietf-oauth-rfc7523bis."""

Reason = TokenReason | Literal["client", "inactive", "subject", "key-set", "replayed"]
"""Why an assertion was refused; for the log and the audit record only."""


class AssertionRefused(Exception):
    """Not a good assertion. Holds nothing of it but the client it is about, if that is one."""

    def __init__(self, reason: Reason, client: ClientRecord | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.client = client


class ClientAssertions:
    """Finds out which client it is.

    Args:
        clients: Who there is.
        audience: The token endpoint's URL.
        now: Seconds since the epoch.
    """

    def __init__(self, clients: Clients, audience: str, *, now: Callable[[], float] = time.time) -> None:
        self._clients = clients
        self._audience = audience
        self._now = now
        self._forgot = 0.0

    def look(self, assertion: str) -> UnverifiedToken:
        """Read it as far as it takes to know whose it claims to be. Costs no look-up.

        Raises:
            AssertionRefused: It has not the shape of one.
        """
        try:
            return look(assertion, jku=True)
        except TokenRefused as refusal:
            raise AssertionRefused(refusal.reason) from None

    async def verify(self, seen: UnverifiedToken) -> tuple[ClientRecord, Claims]:
        """The client that signed it. It is not used up yet.

        Raises:
            AssertionRefused: It is not good, or of nobody who may come in.
            StoreUnavailable: Clients, or the keys of this one, cannot be read.
        """
        client = await self._clients.find(seen.issuer)
        if client is None:
            raise AssertionRefused("client")
        if client.status(datetime.fromtimestamp(self._now(), UTC)) != "active":
            raise AssertionRefused("inactive", client)
        if seen.key_set_url and seen.key_set_url != client.jwks_url:
            raise AssertionRefused("key-set", client)
        key = await self._clients.find_key(client, seen.key_id)
        if key is None:
            raise AssertionRefused("key", client)
        expected = Expected(
            client.client_id, self._audience, TYPES, LIFETIME_SECONDS, leeway_seconds=LEEWAY_SECONDS, from_now=True
        )
        try:
            claims = verify(seen, key, expected, self._now)
        except TokenRefused as refusal:
            raise AssertionRefused(refusal.reason, client) from None
        if claims.subject != client.client_id:
            raise AssertionRefused("subject", client)
        if claims.members["aud"] not in (self._audience, [self._audience]):
            raise AssertionRefused("audience", client)
        return client, claims

    async def use(self, client: ClientRecord, claims: Claims) -> None:
        """Use it up.

        Raises:
            AssertionRefused: It was used before.
            StoreUnavailable: Whether it was cannot be found out, so it is not taken.
        """
        ends = datetime.fromtimestamp(claims.expires_at + LEEWAY_SECONDS, UTC)
        if not await self._clients.store.use(client.client_id, claims.token_id, expires_at=ends):
            raise AssertionRefused("replayed", client)
        if self._now() - self._forgot > FORGET_SECONDS:
            self._forgot = self._now()
            with suppress(StoreUnavailable):  # next time, then
                await self._clients.store.forget_used()
