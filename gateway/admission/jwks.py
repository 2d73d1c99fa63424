"""Step 1 of 7: an issuer's public keys (JWK set, RFC 7517), fetched seldom, bounded, and kept through an outage.

The URL is the operator's, from ``policies/access.yaml``; nothing in a token changes it. No redirects, no proxy of the
environment, at most 64 KiB. One fetch at a time, whoever asks. A ``kid`` that is not known may cause a fetch once in
half a minute: strangers cannot make the gateway hammer an issuer. The last good set is used until a day has passed.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Protocol

import httpx
import structlog

from gateway.admission.tokens import VerifyingKey, public_key
from gateway.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

MAX_BYTES = 64 * 2**10
MAX_KEYS = 64
FETCH_SECONDS = 3.0
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

    async def close(self) -> None:
        """Let go of connections."""


class RemoteKeys:
    """The JWK set at one URL.

    Args:
        url: ``https://`` (or ``http://`` to this same machine).
        algorithms: Those that the issuer may use.
        now: A monotonic clock, seconds.
    """

    def __init__(self, url: str, algorithms: tuple[str, ...], *, now: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._algorithms = algorithms
        self._now = now
        self._client = httpx.AsyncClient(
            follow_redirects=False, trust_env=False, timeout=FETCH_SECONDS, headers={"accept-encoding": "identity"}
        )
        self._keys: dict[str, VerifyingKey] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str) -> VerifyingKey | None:
        """See KeySource."""
        if self._is_wanted(key_id):
            async with self._fetching:  # whoever comes while it is being fetched waits for it
                if self._is_wanted(key_id) and self._now() - self._tried > RETRY_SECONDS:
                    await self._refresh()
        if self._now() - self._fetched > LAST_GOOD_SECONDS:
            raise StoreUnavailable("The keys of the token's issuer cannot be read", retry_after=RETRY_SECONDS)
        return self._keys.get(key_id)

    async def close(self) -> None:
        """See KeySource."""
        await self._client.aclose()

    def _is_wanted(self, key_id: str) -> bool:
        return key_id not in self._keys or self._now() - self._fetched > REFRESH_SECONDS

    async def _refresh(self) -> None:
        self._tried = self._now()
        try:
            async with asyncio.timeout(FETCH_SECONDS):  # httpx bounds each read, not the whole
                content = await self._fetch()
            keys = _read(content, self._algorithms)
        except Exception as error:  # noqa: BLE001 - whatever keeps the set away, the last good one is used
            log.warning("issuer.keys-not-read", url=self._url, kind=type(error).__name__, known=len(self._keys))
            return
        if set(keys) != set(self._keys):
            log.info("issuer.keys-changed", url=self._url, keys=len(keys))
        self._keys, self._fetched = keys, self._tried

    async def _fetch(self) -> bytes:
        content = bytearray()
        async with self._client.stream("GET", self._url) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError("another status than 200")
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise ValueError(f"more than {MAX_BYTES} bytes")
        return bytes(content)


def _read(content: bytes, algorithms: tuple[str, ...]) -> dict[str, VerifyingKey]:
    """The keys that can be used, by ``kid``; one that stands twice is not used: which is meant cannot be known.

    Raises:
        ValueError, RecursionError: It is not a JWK set, or no key of it can be used.
    """
    document = json.loads(content)
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
