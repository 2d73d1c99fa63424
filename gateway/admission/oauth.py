"""Step 1 of 7: what the token endpoint needs, in one place; there is none without a signing key.

failures of this address? ─▶ room? ─▶ assertion ─▶ switched off? ─▶ how often? ─▶ used before? ─▶ scopes ─▶ token
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.admission.assertion import ClientAssertions
from gateway.admission.oauth_errors import TokenRequestRefused
from gateway.admission.own_issuer import OwnIssuer
from gateway.admission.own_keys import OwnKeys
from gateway.errors import Overloaded, QuotaExceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway.admission.client_record import ClientRecord
    from gateway.admission.clients import Clients
    from gateway.admission.failures import FailureLimit
    from gateway.settings import OAuthSettings

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
KEYS_PATH = "/oauth/jwks.json"

AT_ONCE = 32
AT_ONCE_EACH = 4
KNOWN_SECONDS = 3600.0
MAX_KNOWN = 10_000


class Turns:
    """Token requests that are worked on at once: few altogether, fewer of one client."""

    def __init__(self, total: int = AT_ONCE, each: int = AT_ONCE_EACH) -> None:
        self._total = total
        self._each = each
        self._running: Counter[str] = Counter()

    @contextmanager
    def take(self, client_id: str) -> Iterator[None]:
        """One turn. Raises Overloaded if there is none now."""
        if self._running.total() >= self._total or self._running[client_id] >= self._each:
            raise Overloaded("Too many token requests at this moment", retry_after=1.0)
        self._running[client_id] += 1
        try:
            yield
        finally:
            self._running[client_id] -= 1
            if not self._running[client_id]:
                del self._running[client_id]


class FailedClients:
    """Bounds failed authentication at the token endpoint by address, in one budget with all other credentials.

    Behind one address there may be a whole hospital: a client that got a token from it of late goes on although
    something else there fails.

    Args:
        failures: Counts, shared with the other credentials.
        monotonic: Seconds.
    """

    def __init__(self, failures: FailureLimit, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._failures = failures
        self._monotonic = monotonic
        # Address and client, or address alone, to when it was good.
        self._good: OrderedDict[tuple[str, str | None], float] = OrderedDict()

    def check(self, address: str, client_id: str | None = None) -> None:
        """Before the body is read, without the client; once it is known who it claims to be, with it.

        Raises:
            QuotaExceeded: The address failed too often, and no client (or not this one) was good there of late.
        """
        try:
            self._failures.check(address)
        except QuotaExceeded:
            if self._monotonic() - self._good.get((address, client_id), float("-inf")) > KNOWN_SECONDS:
                raise

    def failed(self, address: str) -> None:
        """Count a failure."""
        self._failures.record(address)

    def succeeded(self, address: str, client_id: str) -> None:
        """Remember it."""
        for known in ((address, client_id), (address, None)):
            self._good[known] = self._monotonic()
            self._good.move_to_end(known)
        while len(self._good) > MAX_KNOWN:
            self._good.popitem(last=False)


@dataclass(frozen=True, slots=True)
class OAuth:
    """The token endpoint's parts. Made by ``OAuth.of``.

    Attributes:
        url: This gateway, as callers know it.
        keys: Its own.
        issuer: Makes tokens.
        assertions: Authenticates clients.
        failures: Bounds those who fail to.
        smart_scopes: Scopes of SMART App Launch to ours.
        turns: Bounds what is worked on at once.
    """

    url: str
    keys: OwnKeys
    issuer: OwnIssuer
    assertions: ClientAssertions
    failures: FailedClients
    smart_scopes: dict[str, str]
    turns: Turns = field(default_factory=Turns)

    @classmethod
    def of(
        cls, settings: OAuthSettings, clients: Clients, failures: FailureLimit, smart_scopes: dict[str, str]
    ) -> OAuth | None:
        """None if no signing key is set."""
        if not (secret := settings.signing_key.get_secret_value()):
            return None
        keys = OwnKeys(secret.encode(), settings.signing_key_previous.get_secret_value().encode())
        url = settings.issuer.rstrip("/")
        return cls(
            url,
            keys,
            OwnIssuer(url, keys, clients, seconds=settings.token_seconds),
            ClientAssertions(clients, url + TOKEN_PATH),
            FailedClients(failures),
            dict(smart_scopes),
        )

    def granted(self, client: ClientRecord, wanted: str) -> tuple[frozenset[str], str]:
        """What the client may have of what it asked for; all that is its own if it asked for nothing.

        Returns:
            Our scopes, and what the answer calls them: by the names that were asked for.

        Raises:
            TokenRequestRefused: It asked for one that it has not.
        """
        names = wanted.split()
        if not names:
            return client.scopes, " ".join(sorted(client.scopes))
        ours = {name: self.smart_scopes.get(name, name) for name in names}
        if not client.scopes.issuperset(ours.values()):
            raise TokenRequestRefused("A scope was asked for that this client does not have", error="invalid_scope")
        return frozenset(ours.values()), " ".join(ours)

    def metadata(self, scopes: Iterable[str]) -> dict[str, object]:
        """RFC 8414 §2."""
        return {
            "issuer": self.url,
            "token_endpoint": self.url + TOKEN_PATH,
            "jwks_uri": self.url + KEYS_PATH,
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "scopes_supported": sorted({*scopes, *self.smart_scopes}),
        }
