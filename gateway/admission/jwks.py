"""Step 1 of 7: public keys of an issuer or a client (JWK set, RFC 7517), fetched seldom, and kept through an outage.

The URL is the operator's or the client's as it was registered; nothing in a token changes it. One fetch at a time,
whoever asks. A ``kid`` that is not known may cause a fetch once in half a minute: strangers cannot make the gateway
hammer an issuer. The last good set is used until a day has passed.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from gateway.admission.tokens import VerifyingKey, public_key
from gateway.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admission.jwks_fetch import KeySetFetcher

log = structlog.get_logger(__name__)

MAX_KEYS = 64
REFRESH_SECONDS = 600.0
RETRY_SECONDS = 30.0
LAST_GOOD_SECONDS = 24 * 3600.0


class KeySource(Protocol):
    """Where an issuer's keys come from."""

    async def find(self, key_id: str) -> VerifyingKey | None:
        """The key of this ``kid``; None if the issuer has none.

        Raises:
            StoreUnavailable: Its keys cannot be had.
        """


class RemoteKeys:
    """The JWK set at one URL.

    Args:
        url: ``https://`` (or, for an issuer, ``http://`` to this same machine).
        algorithms: Those that its owner may use.
        fetcher: Gets it.
        name: What logs call its owner; a URL is not logged.
        of_client: Its owner is a client: its address is guarded, and it is kept no longer than its ``Cache-Control``
            says (SMART App Launch, client-confidential-asymmetric), but for RETRY_SECONDS.
        now: A monotonic clock, seconds.
    """

    def __init__(
        self,
        url: str,
        algorithms: tuple[str, ...],
        fetcher: KeySetFetcher,
        *,
        name: str = "",
        of_client: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._algorithms = algorithms
        self._fetcher = fetcher
        self._name = name
        self._of_client = of_client
        self._now = now
        self._keys: dict[str, VerifyingKey] = {}
        self._fetched = self._tried = float("-inf")
        self._fresh, self._last_good = REFRESH_SECONDS, LAST_GOOD_SECONDS
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str) -> VerifyingKey | None:
        """See KeySource."""
        if self._is_wanted(key_id):
            async with self._fetching:  # whoever comes while it is being fetched waits for it
                if self._is_wanted(key_id) and self._now() - self._tried > RETRY_SECONDS:
                    await self._refresh()
        if self._now() - self._fetched > self._last_good:
            raise StoreUnavailable("The keys of whoever signed it cannot be read", retry_after=RETRY_SECONDS)
        return self._keys.get(key_id)

    def _is_wanted(self, key_id: str) -> bool:
        return key_id not in self._keys or self._now() - self._fetched > self._fresh

    async def _refresh(self) -> None:
        self._tried = self._now()
        try:
            fetched = await self._fetcher.fetch(self._url, guarded=self._of_client)
            keys = read_key_set(json.loads(fetched.content), self._algorithms)
        except Exception as error:  # noqa: BLE001 - whatever keeps the set away, the last good one is used
            log.warning("issuer.keys-not-read", issuer=self._name, kind=type(error).__name__, known=len(self._keys))
            return
        if set(keys) != set(self._keys):
            log.info("issuer.keys-changed", issuer=self._name, keys=len(keys))
        self._keys, self._fetched = keys, self._tried
        if self._of_client and fetched.fresh_seconds is not None:
            age = max(fetched.fresh_seconds, RETRY_SECONDS)
            self._fresh, self._last_good = min(age, REFRESH_SECONDS), min(age, LAST_GOOD_SECONDS)
        else:
            self._fresh, self._last_good = REFRESH_SECONDS, LAST_GOOD_SECONDS


def read_key_set(document: Any, algorithms: tuple[str, ...]) -> dict[str, VerifyingKey]:
    """The keys that can be used, by ``kid``; one that stands twice is not used: which is meant cannot be known.

    Raises:
        ValueError: It is not a JWK set, or no key of it can be used.
    """
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list) or len(members) > MAX_KEYS:
        raise ValueError("not a JWK set")
    keys: dict[str, VerifyingKey] = {}
    twice = set()
    for member in members:
        try:
            key = public_key(member if isinstance(member, dict) else {}, algorithms)
        except ValueError as error:
            log.debug("issuer.key-not-used", reason=str(error))
            continue
        if key.key_id in keys:
            twice.add(key.key_id)
        keys[key.key_id] = key
    keys = {key_id: key for key_id, key in keys.items() if key_id not in twice}
    if not keys:
        raise ValueError("no key that can be used")
    return keys
