"""Step 1 of 7: who the bearer of an outside issuer's token is here, by what the access policy makes of its claims."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

from gateway.admission.authenticate import CredentialRefused
from gateway.admission.principal import Principal

if TYPE_CHECKING:
    from gateway.admission.access import AccessPolicy
    from gateway.admission.issuers import IssuerPolicy
    from gateway.admission.jwks import KeySource
    from gateway.admission.tokens import Claims, Expected, VerifyingKey


class OutsideIssuer:
    """One issuer of the access policy.

    Args:
        policy: Its entry.
        keys: Where its keys come from.
        access: Knows what a role may do.
        pepper: Under which a bearer's public ID is made: a ``sub`` is often an e-mail address, so it is not shown.
    """

    def __init__(self, policy: IssuerPolicy, keys: KeySource, access: AccessPolicy, pepper: bytes) -> None:
        self.policy = self._policy = policy
        self._keys = keys
        self._access = access
        self._pepper = pepper
        self._expected = policy.expected

    @property
    def issuer(self) -> str:
        """``iss`` of its tokens."""
        return self._policy.issuer

    @property
    def expected(self) -> Expected:
        """What they must say."""
        return self._expected

    async def find_key(self, key_id: str) -> VerifyingKey | None:
        """See ``bearer.Issuer``."""
        return await self._keys.find(key_id)

    async def principal(self, claims: Claims) -> Principal:
        """See ``bearer.Issuer``. Refused if the policy maps the token to no tenant."""
        policy = self._policy
        subject = f"{policy.issuer}\n{claims.subject}".encode()
        public = base64.b32encode(hmac.digest(self._pepper, b"bearer\n" + subject, hashlib.sha256)[:10]).decode()
        key_id = f"sub_{public.lower()}"
        tenant = policy.tenant_of(claims.members)
        if tenant is None:
            raise CredentialRefused(reason="token-tenant").about(key_id)
        roles = policy.roles.read(claims.members) if policy.roles else ()
        scopes = policy.scopes.read(claims.members) if policy.scopes else ()
        return Principal(key_id, policy.name, tenant, self._access.expand(roles=roles, scopes=scopes), policy.plan)
