"""Step 1 of 7: callers who send a token (RFC 6750), of an outside issuer or of our own; verified by ``tokens.py``."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol, cast

from gateway.admission.authenticate import CredentialRefused
from gateway.admission.keys import PREFIX
from gateway.admission.tokens import Claims, TokenRefused, look, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.admission.authenticate import Reason
    from gateway.admission.principal import Principal
    from gateway.admission.tokens import Expected, VerifyingKey

MAX_KNOWN = 10_000
_BEARER = "bearer "


class Revocations(Protocol):
    """Tokens that were ended before their time."""

    async def revoked(self, issuer: str, token_id: str) -> bool:
        """Whether this ``jti`` of this issuer was.

        Raises:
            StoreUnavailable: It cannot be found out.
        """


class Issuer(Protocol):
    """Someone whose tokens are taken."""

    @property
    def issuer(self) -> str:
        """``iss`` of its tokens."""

    @property
    def expected(self) -> Expected:
        """What they must say."""

    async def find_key(self, key_id: str) -> VerifyingKey | None:
        """Its key of this ``kid``; None if it has none.

        Raises:
            StoreUnavailable: Its keys cannot be had.
        """

    async def principal(self, claims: Claims) -> Principal:
        """Who the bearer of such a token is here.

        Raises:
            CredentialRefused: Nobody.
            StoreUnavailable: That cannot be found out.
        """


class BearerTokens:
    """The scheme for tokens.

    Args:
        issuers: Those whose tokens are taken, no ``iss`` twice.
        revocations: Asked for every token.
        now: Seconds since the epoch.
    """

    def __init__(
        self, issuers: Sequence[Issuer], revocations: Revocations, *, now: Callable[[], float] = time.time
    ) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._revocations = revocations
        self._now = now
        self._good: OrderedDict[bytes, float] = OrderedDict()  # digest of a token to when it ends

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether this very token was good of late."""
        token = _token(headers)
        return token is not None and self._good.get(_digest(token), 0.0) > self._now()

    async def authenticate(self, headers: Mapping[str, str], address: str) -> Principal | None:
        """The token's principal; None if the headers hold none.

        Raises:
            CredentialRefused: It is not good, was revoked, or is of nobody that the policy knows.
            StoreUnavailable: The issuer's keys, its clients or the revocations cannot be read.
        """
        del address
        token = _token(headers)
        if token is None:
            return None
        try:
            issuer, claims = await self._verified(token)
        except TokenRefused as refusal:
            raise CredentialRefused(reason=cast("Reason", f"token-{refusal.reason}")) from None
        try:
            principal = await issuer.principal(claims)
            if await self._revocations.revoked(issuer.issuer, claims.token_id):
                raise CredentialRefused(reason="revoked").about(principal.key_id)
        except CredentialRefused:
            self._good.pop(_digest(token), None)
            raise
        self._note(token, claims.expires_at)
        return principal

    async def _verified(self, token: str) -> tuple[Issuer, Claims]:
        seen = look(token)
        issuer = self._issuers.get(seen.issuer)
        if issuer is None:
            raise TokenRefused("issuer")
        key = await issuer.find_key(seen.key_id)
        if key is None:
            raise TokenRefused("key")
        return issuer, verify(seen, key, issuer.expected, self._now)

    def _note(self, token: str, expires_at: float) -> None:
        self._good[_digest(token)] = expires_at
        if len(self._good) > MAX_KNOWN:
            self._good.popitem(last=False)


def _token(headers: Mapping[str, str]) -> str | None:
    """What follows ``Bearer``, if it could be a token; API keys are another scheme's."""
    bearer = headers.get("authorization", "")
    if bearer[: len(_BEARER)].lower() != _BEARER:
        return None
    token = bearer[len(_BEARER) :].strip()
    return token if token.count(".") == 2 and not token.startswith(PREFIX) else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
