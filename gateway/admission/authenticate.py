"""Step 1 of 7: who calls. Asks each scheme in turn; the first that knows the credential decides.

A scheme answers None for a credential that is not of its kind, and raises for one that is but is not good. A credential
is read from headers only: what stands in a URL ends in logs (ASVS 5.0 14.2.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from gateway.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.admission.failures import FailureLimit
    from gateway.admission.principal import Principal

Reason = Literal[
    "missing",
    "ambiguous",
    "unknown-scheme",
    "malformed",
    "unknown",
    "mismatch",
    "expired",
    "revoked",
    "address",
    "token-malformed",
    "token-header",
    "token-issuer",
    "token-key",
    "token-signature",
    "token-claims",
    "token-audience",
    "token-early",
    "token-type",
    "token-expired",
    "token-lifetime",
    "token-tenant",
    "login-state",
    "login-refused",
    "session-missing",
    "session-ended",
]
"""Why a credential was refused. For the log and the audit record only: the caller is told one thing for all of them."""

_DETAIL = "Send a valid credential: 'Authorization: Bearer <key>' or 'X-API-Key: <key>'"


class CredentialRefused(Unauthenticated):
    """An Unauthenticated that carries, for the log, why, and the public ID of the key if it is one that exists."""

    def __init__(
        self, detail: str = _DETAIL, *, retry_after: float | None = None, reason: Reason = "missing", **members: Any
    ) -> None:
        super().__init__(detail, retry_after=retry_after, **members)
        self.reason = reason
        self.key_id: str | None = None

    def about(self, key_id: str) -> CredentialRefused:
        """The same refusal, of this key."""
        self.key_id = key_id
        return self


class Scheme(Protocol):
    """One kind of credential."""

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether a credential that it has seen to be good of late is claimed. Free of I/O."""

    async def authenticate(self, headers: Mapping[str, str], address: str) -> Principal | None:
        """The caller; None if the credential is not of this kind.

        Raises:
            CredentialRefused: It is of this kind and not good.
        """


class Authenticator:
    """Finds out who calls, and bounds how often an address may fail to say.

    Args:
        schemes: In the order in which they are asked.
        failures: Counts failures by address.
    """

    def __init__(self, schemes: Sequence[Scheme], failures: FailureLimit) -> None:
        self._schemes = tuple(schemes)
        self._failures = failures

    async def authenticate(self, headers: Mapping[str, str], address: str) -> Principal:
        """The caller.

        An address that failed too often is refused before anything is looked up, but for credentials that were good of
        late: behind one address there may be a whole hospital.

        Args:
            headers: Of the request; names in small letters, no name twice.
            address: The peer's.

        Raises:
            CredentialRefused: An Unauthenticated. No credential, or not a good one; one wording for all reasons.
            QuotaExceeded: The address failed too often.
            StoreUnavailable: Whether it is good cannot be found out.
        """
        if not any(scheme.knows(headers) for scheme in self._schemes):
            self._failures.check(address)
        try:
            return await self._ask(headers, address)
        except CredentialRefused:
            self._failures.record(address)
            raise

    async def _ask(self, headers: Mapping[str, str], address: str) -> Principal:
        for scheme in self._schemes:
            principal = await scheme.authenticate(headers, address)
            if principal is not None:
                return principal
        raise CredentialRefused(reason="unknown-scheme" if "authorization" in headers else "missing")
