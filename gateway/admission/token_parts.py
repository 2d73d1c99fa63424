"""Step 1 of 7: all that has to do with tokens, joined: outside issuers, clients, and this gateway as an issuer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.admission.bearer import BearerTokens
from gateway.admission.client_store import ClientStore
from gateway.admission.clients import Clients
from gateway.admission.failures import FailureLimit
from gateway.admission.jwks import RemoteKeys
from gateway.admission.jwks_fetch import KeySetFetcher
from gateway.admission.login import Logins
from gateway.admission.oauth import OAuth
from gateway.admission.outside_issuer import OutsideIssuer
from gateway.admission.own_issuer import NAME

if TYPE_CHECKING:
    from gateway.admission.access import AccessPolicy
    from gateway.admission.bearer import Issuer
    from gateway.admission.revocations import RevokedTokens
    from gateway.database import Database
    from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class TokenParts:
    """Made by ``TokenParts.of``; one a process.

    Attributes:
        scheme: Authenticates the bearers of tokens.
        clients: Those who may be given tokens.
        oauth: Gives them; None without a signing key.
        failures: Bounds failed authentication of every kind, in one budget an address.
        fetcher: Gets key sets.
        logins: Where people may sign in to the console.
    """

    scheme: BearerTokens
    clients: ClientStore
    oauth: OAuth | None
    failures: FailureLimit
    fetcher: KeySetFetcher
    logins: Logins

    @classmethod
    def of(cls, settings: Settings, access: AccessPolicy, database: Database, revoked: RevokedTokens) -> TokenParts:
        """Join them.

        Raises:
            ValueError: An issuer of the access policy has the name or the ``iss`` of this gateway, or the file of CA
                certificates cannot be read.
        """
        cache = settings.admission.key_cache_seconds
        pepper = settings.admission.key_pepper.get_secret_value().encode()
        fetcher = _fetcher(settings)
        failures = FailureLimit()
        store = ClientStore(database)
        oauth = OAuth.of(settings.oauth, Clients(store, fetcher, cache_seconds=cache), failures, access.smart_scopes)
        own: list[Issuer] = [oauth.issuer] if oauth else []
        for policy in access.issuers.values():
            if policy.name == NAME or any(policy.issuer == issuer.issuer for issuer in own):
                raise ValueError(f"{settings.admission.access_policy}: issuers.{policy.name}: that is this gateway")
        outside = [
            OutsideIssuer(policy, RemoteKeys(policy.jwks, policy.algorithms, fetcher, name=policy.name), access, pepper)
            for policy in access.issuers.values()
        ]
        logins = Logins(outside, access, fetcher, failures, settings.console, pepper=pepper)
        return cls(BearerTokens([*own, *outside], revoked), store, oauth, failures, fetcher, logins)

    async def close(self) -> None:
        """Let go of the connections to issuers and clients."""
        await self.fetcher.close()


def _fetcher(settings: Settings) -> KeySetFetcher:
    file = settings.oauth.ca_certificates
    try:
        return KeySetFetcher(Path(file) if file else None, settings.oauth.private_hosts.split())
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"OAUTH_CA_CERTIFICATES: {type(error).__name__}: no file of PEM certificates") from None
