"""Step 1 of 7: callers who send an API key, looked up in SQL and trusted for less than a second."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gateway.admission.authenticate import CredentialRefused
from gateway.admission.key_record import KeySecret
from gateway.admission.keys import PREFIX, KeyMaker, PresentedKey, parse
from gateway.admission.principal import Principal
from gateway.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping

    from gateway.admission.key_record import KeyRecord
    from gateway.admission.key_store import KeyStore

MAX_CACHED = 10_000
MAX_TOGETHER = 256
"""Most keys of one look."""
_IN_USE = 10  # so many times the cache's life after it was last asked for: cheaper in a look with others than by itself
USE_RESOLUTION = timedelta(minutes=1)
_BEARER = "bearer "
_NO_SECRETS = (KeySecret(bytes(32)),)  # of a key that does not exist: nothing has this digest


@dataclass(slots=True)
class _Look:
    """What is known of a key: when the look at the store began, what it finds, and when the key was last asked for."""

    began: float
    found: asyncio.Task[dict[str, KeyRecord]]
    asked: float


class ApiKeys:
    """The scheme for API keys.

    A key's record is trusted for ``cache_seconds`` from when the look at the store *began*, so that a revoked key is
    refused within that time on every worker, Redis or not; a change that is told of (``forget``) holds at once. Many
    requests with one key share one look, and so do the keys that are in use at the same time: a look at one takes the
    others along whose time is half over, so that a hundred keys cost a few looks a second and not two hundred.

    What the time of a refusal tells: a text that has not the shape of a key, or not its checksum, is refused without a
    look, which tells its sender nothing that they could not compute. Every well-formed one costs one look, in the store
    or in what is known of it, and one digest compared in constant time with each of the key's, or with one that fits
    nothing if there is no such key. Only then are revocation, expiry and address looked at, and nobody comes so far
    without the secret. So what may show is whether a public ID exists or was used of late: it is no secret, and a wrong
    secret has 256 bits to guess, with 20 failures a minute for an address.

    Args:
        store: The truth.
        maker: Knows the pepper.
        cache_seconds: 0 to 1.
        now: The clock that expiry is held against, in UTC.
        monotonic: The clock that the cache's age is held against, seconds.
    """

    def __init__(
        self,
        store: KeyStore,
        maker: KeyMaker,
        *,
        cache_seconds: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._maker = maker
        self._seconds = cache_seconds
        self._now = now
        self._monotonic = monotonic
        self._looks: OrderedDict[str, _Look] = OrderedDict()
        self._used: dict[str, datetime] = {}
        self._background: set[asyncio.Task[None]] = set()

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether the key's ID is one that is in use here; that the secret fits is not checked."""
        try:
            presented = _presented(headers)
        except CredentialRefused:
            return False
        return presented is not None and presented.key_id in self._used

    async def authenticate(self, headers: Mapping[str, str], address: str) -> Principal | None:
        """The key's principal; None if the headers hold no key.

        Raises:
            CredentialRefused: Malformed, unknown, wrong, expired, revoked, or not from this address.
            StoreUnavailable: The store does not answer.
        """
        presented = _presented(headers)
        if presented is None:
            return None
        record = await self._look_up(presented.key_id)
        secrets = _NO_SECRETS if record is None else record.secrets
        # All digests are compared, whatever the first says.
        fits = [secret for secret in secrets if self._maker.matches(presented, secret.digest)]
        old = [secret for secret in secrets if self._maker.matches_previous(presented, secret.digest)]
        if record is None:
            raise CredentialRefused(reason="unknown")
        if record.status(self._now()) != "active":
            self._used.pop(record.key_id, None)
        if not (fits := fits or old):
            raise CredentialRefused(reason="mismatch").about(record.key_id)
        principal = self._admitted(record, fits[0], address)
        if fits is old:
            self._in_background(self._store.rehash(old[0].digest, self._maker.digest(presented.text)))
        return principal

    def marks(self, text: str) -> frozenset[str]:
        """What ``still`` knows this key's secret by; of no use to whoever reads it. Empty if it is no key."""
        presented = parse(text)
        return frozenset(_mark(digest) for digest in self._maker.digests(presented)) if presented else frozenset()

    async def still(self, key_id: str, marks: Collection[str], address: str) -> Principal:
        """The principal of a key that proved itself before, as the key is now.

        Raises:
            CredentialRefused: Revoked or expired since, the secret of then is none of its secrets now, or not from
                this address.
            StoreUnavailable: The store does not answer.
        """
        record = await self._look_up(key_id)
        if record is None:
            raise CredentialRefused(reason="unknown")
        fits = [secret for secret in record.secrets if _mark(secret.digest) in marks]
        if not fits:
            raise CredentialRefused(reason="mismatch").about(key_id)
        return self._admitted(record, fits[0], address)

    def forget(self, key_id: str) -> None:
        """Look anew for whoever asks next: the key was changed."""
        self._looks.pop(key_id, None)

    async def close(self) -> None:
        """Wait for what is being read and written; a look at the store is bounded."""
        tasks = [*self._background, *(look.found for look in self._looks.values())]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _admitted(self, record: KeyRecord, secret: KeySecret, address: str) -> Principal:
        """What the key and the secret that it was proved with allow as of now."""
        now = self._now()
        if record.revoked_at is not None:
            raise CredentialRefused(reason="revoked").about(record.key_id)
        ends = min((end for end in (record.expires_at, secret.expires_at) if end is not None), default=None)
        if ends is not None and ends <= now:
            raise CredentialRefused(reason="expired").about(record.key_id)
        if record.addresses and not _within(address, record.addresses):
            raise CredentialRefused(reason="address").about(record.key_id)
        self._note_use(record.key_id, now)
        return Principal(
            record.key_id,
            record.owner,
            record.tenant,
            record.scopes,
            record.plan,
            limits=record.limits,
            break_glass=record.break_glass,
        )

    async def _look_up(self, key_id: str) -> KeyRecord | None:
        look = self._looks.get(key_id)
        now = self._monotonic()
        if look is None or now - look.began >= self._seconds:
            look = self._look_at(key_id, now)
        look.asked = now
        try:
            # Shielded: a caller who goes away must not take the look from those who share it.
            record = (await asyncio.shield(look.found)).get(key_id)
        except StoreUnavailable:  # the next caller tries again
            self._forget(key_id, look)
            raise
        if record is None:  # made-up IDs must not push good ones out
            self._forget(key_id, look)
        return record

    def _look_at(self, key_id: str, now: float) -> _Look:
        """Begin a look at this key, and at those in use that are due next; forget those that nobody asks for."""
        in_use: list[tuple[str, float]] = []
        over: list[str] = []
        for other, look in self._looks.items():  # the oldest look first
            if now - look.began < self._seconds / 2 or len(in_use) == MAX_TOGETHER:
                break
            if other == key_id:
                continue
            if now - look.asked < self._seconds * _IN_USE:
                in_use.append((other, look.asked))
            else:
                over.append(other)
        for other in over:
            del self._looks[other]
        names = [key_id, *(other for other, _ in in_use)]
        found = asyncio.create_task(self._store.find_all(names))
        found.add_done_callback(_seen)
        for name, asked in [*in_use, (key_id, now)]:
            self._looks[name] = _Look(now, found, asked)
            self._looks.move_to_end(name)
        while len(self._looks) > MAX_CACHED:
            self._looks.popitem(last=False)
        return self._looks[key_id]

    def _forget(self, key_id: str, look: _Look) -> None:
        if self._looks.get(key_id) is look:
            del self._looks[key_id]

    def _note_use(self, key_id: str, now: datetime) -> None:
        noted = self._used.get(key_id)
        if noted is not None and now - noted < USE_RESOLUTION:
            return
        self._used[key_id] = now
        if len(self._used) > MAX_CACHED:
            del self._used[next(iter(self._used))]
        self._in_background(self._store.touch(key_id, resolution=USE_RESOLUTION))

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        """What is written for convenience must not cost a caller his answer."""
        task = asyncio.create_task(_forgiving(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _seen(look: asyncio.Task[dict[str, KeyRecord]]) -> None:
    """A failure that nobody waits for any more is no defect."""
    if not look.cancelled():
        look.exception()


async def _forgiving(work: Coroutine[None, None, None]) -> None:
    with contextlib.suppress(StoreUnavailable):
        await work


def _presented(headers: Mapping[str, str]) -> PresentedKey | None:
    """The key in the headers; None if there is none.

    Raises:
        CredentialRefused: It has not the shape of one, or there are two.
    """
    bearer = headers.get("authorization", "")
    token = bearer[len(_BEARER) :].strip() if bearer[: len(_BEARER)].lower() == _BEARER else ""
    bare = headers.get("x-api-key")
    if bare is None:
        if not token.startswith(PREFIX):
            return None
        text = token
    elif bearer:
        raise CredentialRefused(reason="ambiguous")
    else:
        text = bare.strip()
    presented = parse(text)
    if presented is None:
        raise CredentialRefused(reason="malformed")
    return presented


def _mark(digest: bytes) -> str:
    return hashlib.sha256(b"console\n" + digest).hexdigest()


def _within(address: str, networks: tuple[str, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in ipaddress.ip_network(network) for network in networks)
