"""Step 1 of 7: callers who send a token of an outside issuer (RFC 6750), verified by ``tokens.py``."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol, cast

from gateway.admission.authenticate import CredentialRefused
from gateway.admission.keys import PREFIX
from gateway.admission.principal import Principal
from gateway.admission.tokens import Claims, TokenRefused, look, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.admission.access import AccessPolicy
    from gateway.admission.authenticate import Reason
    from gateway.admission.issuers import IssuerPolicy
    from gateway.admission.jwks import KeySource

MAX_KNOWN = 10_000
_BEARER = "bearer "


class Revocations(Protocol):
    """Tokens that were ended before their time."""

    async def revoked(self, issuer: str, token_id: str) -> bool:
        """Whether this ``jti`` of this issuer was.

        Raises:
            StoreUnavailable: It cannot be found out.
        """


class BearerTokens:
    """The scheme for tokens.

    Args:
        issuers: Each with where its keys come from.
        access: Knows what a role may do.
        revocations: Asked for every token.
        pepper: Under which a bearer's public ID is made: a ``sub`` is often an e-mail address, so it is not shown.
        now: Seconds since the epoch.
    """

    def __init__(
        self,
        issuers: Sequence[tuple[IssuerPolicy, KeySource]],
        access: AccessPolicy,
        revocations: Revocations,
        pepper: bytes,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._issuers = {policy.issuer: (policy, keys) for policy, keys in issuers}
        self._access = access
        self._revocations = revocations
        self._pepper = pepper
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
            StoreUnavailable: The issuer's keys or the revocations cannot be read.
        """
        del address
        token = _token(headers)
        if token is None:
            return None
        try:
            policy, claims = await self._verified(token)
        except TokenRefused as refusal:
            raise CredentialRefused(reason=cast("Reason", f"token-{refusal.reason}")) from None
        principal = self._principal(policy, claims)
        if await self._revocations.revoked(policy.issuer, claims.token_id):
            self._good.pop(_digest(token), None)
            raise CredentialRefused(reason="revoked").about(principal.key_id)
        self._note(token, claims.expires_at)
        return principal

    async def close(self) -> None:
        """Let go of the connections to the issuers."""
        for _, keys in self._issuers.values():
            await keys.close()

    async def _verified(self, token: str) -> tuple[IssuerPolicy, Claims]:
        seen = look(token)
        if seen.issuer not in self._issuers:
            raise TokenRefused("issuer")
        policy, keys = self._issuers[seen.issuer]
        key = await keys.find(seen.key_id)
        if key is None:
            raise TokenRefused("key")
        return policy, verify(seen, key, policy.expected, self._now)

    def _principal(self, policy: IssuerPolicy, claims: Claims) -> Principal:
        subject = f"{policy.issuer}\n{claims.subject}".encode()
        public = base64.b32encode(hmac.digest(self._pepper, b"bearer\n" + subject, hashlib.sha256)[:10]).decode()
        key_id = f"sub_{public.lower()}"
        tenant = policy.tenant_of(claims.members)
        if tenant is None:
            raise CredentialRefused(reason="token-tenant").about(key_id)
        roles = policy.roles.read(claims.members) if policy.roles else ()
        scopes = policy.scopes.read(claims.members) if policy.scopes else ()
        return Principal(key_id, policy.name, tenant, self._access.expand(roles=roles, scopes=scopes), policy.plan)

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
