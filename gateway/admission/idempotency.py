"""Step 1 of 7: ``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header): a request sent twice is done once.

    claim, with room set aside ─▶ work ─▶ keep the answer, for a day
      │                             └ failed: free it, so that trying again tries again
      ├ taken: running elsewhere (409), done for the same request (its answer again), or for another one (422)
      └ no room (429, 503), or Redis is away (503): refused, for the guarantee cannot be given; without the header it is
        served

What is kept is the answer, which identifies nobody. Its name, and the fingerprint of the request, are keyed hashes: who
reads Redis cannot try out accession numbers against them. Answers take up no more memory than is set: they share Redis
with the limiter, and must never crowd it out (``idempotency.lua``).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import re
import secrets
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from redis.exceptions import NoScriptError, RedisError

from gateway.admission.redis_url import close, connect
from gateway.errors import InvalidParameter, Overloaded, QuotaExceeded, RequestInProgress, StoreUnavailable

if TYPE_CHECKING:
    from gateway.settings import RedisSettings

log = structlog.get_logger(__name__)

HEADER = "Idempotency-Key"
OVERHEAD_BYTES = 768
"""What Redis takes for an entry besides its text: its name, and the lines in both tables. A test measures it."""
_KEY = re.compile(r'(")?([\x21\x23-\x5b\x5d-\x7e]{1,128})(?(1)")', re.ASCII)
_SLOT = "idem:{idem}:"
_LONGEST_WAIT_SECONDS = 3600.0
_SERVED = "without the header the request is served"


@dataclass(frozen=True, slots=True)
class Room:
    """How much memory of Redis answers may take, bytes.

    Attributes:
        total: Of all tenants.
        tenant: Of one.
        largest: The largest answer: so much is set aside before the work is begun.
    """

    total: int
    tenant: int
    largest: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do the work of one key, or the answer of who did it.

    Attributes:
        tenant: Whose, as a keyed hash.
        name: The key, as a keyed hash.
        fingerprint: Of the request, as a keyed hash.
        mine: What stands in Redis while the work is done.
        answer: The answer as it was given; None if the work is to be done.
        request_id: Of the request that the answer was given to.
    """

    tenant: str
    name: str
    fingerprint: str
    mine: bytes = field(default=b"", repr=False)
    answer: bytes | None = field(default=None, repr=False)
    request_id: str = ""


class Idempotency:
    """Who has which key.

    Args:
        settings: Where Redis is.
        secret: Of the keyed hashes; the same in every process.
        running_seconds: After this a request has ended, however badly, and its key is free.
        keep_seconds: How long an answer is kept.
        room: For how many.
    """

    def __init__(
        self, settings: RedisSettings, *, secret: bytes, running_seconds: float, keep_seconds: int, room: Room
    ) -> None:
        self._redis = connect(settings)
        self._turns = asyncio.Semaphore(settings.pool_size)
        self._timeout = settings.timeout_seconds
        self._secret = hmac.digest(secret, b"idempotency", hashlib.sha256)
        self._running_ms = int(running_seconds * 1000)
        self._keep_ms = keep_seconds * 1000
        self._room = room
        self._aside = room.largest + OVERHEAD_BYTES
        self._script = resources.files(__package__).joinpath("idempotency.lua").read_text(encoding="utf-8")
        self._sha = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()

    def fingerprint(self, *parts: bytes) -> str:
        """Of all that an answer depends on. Takes time with its length: not for the event loop where that is long."""
        digest = hmac.new(self._secret, b"request", hashlib.sha256)
        for part in parts:
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.hexdigest()

    async def claim(self, tenant: str, key: str, fingerprint: str, request_id: str) -> Claim:
        """Take the key, or find what was answered to it.

        Args:
            tenant: Whose key; another tenant's is another key.
            key: As ``read_key`` gives it.
            fingerprint: As ``fingerprint`` gives it.
            request_id: Correlation ID.

        Raises:
            RequestInProgress: A request with this key is running.
            InvalidParameter: The key was used for another request.
            QuotaExceeded: The tenant's kept answers take all the room that it has.
            Overloaded: Those of all tenants do, or Redis is nearly full.
            StoreUnavailable: Redis is away.
        """
        whose, name = self._hash(b"tenant", tenant), self._hash(b"key", tenant, key)
        mine = orjson.dumps({"fingerprint": fingerprint, "request_id": request_id, "claim": secrets.token_hex(8)})
        claim = Claim(whose, name, fingerprint, mine)
        room = self._room
        verdict, *told = await self._call(claim, "claim", self._running_ms, self._aside, room.tenant, room.total)
        match verdict:
            case b"mine":
                return claim
            case b"tenant-full":
                raise QuotaExceeded(
                    f"Kept answers of this tenant take all the room that it has; {_SERVED}",
                    retry_after=_wait(told[0]),
                    **{"violated-policies": ["idempotency"]},
                )
            case b"full":
                raise Overloaded(f"There is no room for another kept answer; {_SERVED}", retry_after=_wait(told[0]))
        return _of(claim, orjson.loads(told[0]))

    async def keep(self, claim: Claim, answer: bytes, request_id: str) -> None:
        """Keep the answer. If it cannot be kept, that is logged and the answer goes out all the same."""
        entry = orjson.dumps({"fingerprint": claim.fingerprint, "request_id": request_id, "answer": answer.decode()})
        size = len(entry) + OVERHEAD_BYTES
        if size > self._aside:
            log.error("idempotency.too-large", bytes=size)
            await self.give_up(claim)
            return
        try:
            [verdict] = await self._call(claim, "keep", self._keep_ms, self._aside, size, entry)
        except StoreUnavailable:
            verdict = b"away"
        if verdict != b"kept":
            log.warning("idempotency.not-kept", verdict=verdict.decode())

    async def give_up(self, claim: Claim) -> None:
        """Let the key go: there is no answer. Never raises; the key is free in time anyway."""
        try:
            await self._call(claim, "free", 0, self._aside)
        except StoreUnavailable:
            log.warning("idempotency.not-freed")

    async def close(self) -> None:
        """Close the connections."""
        await close(self._redis)

    def _hash(self, kind: bytes, *texts: str) -> str:
        return hmac.digest(self._secret, b"\n".join((kind, *(text.encode() for text in texts))), hashlib.sha256).hex()[
            :32
        ]

    async def _call(self, claim: Claim, act: str, *arguments: Any) -> Any:
        keys = (f"{_SLOT}{claim.name}", f"{_SLOT}ends", f"{_SLOT}bytes")
        given = (len(keys), *keys, act, claim.tenant, claim.name, claim.mine, *arguments)
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                try:
                    return await self._redis.evalsha(self._sha, *given)
                except NoScriptError:
                    return await self._redis.eval(self._script, *given)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(
                f"The record of Idempotency-Keys cannot be reached; {_SERVED}", retry_after=1.0
            ) from error


def read_key(values: list[str]) -> str | None:
    """The key in the headers of that name; None if there is none. Bare or as a quoted string.

    Raises:
        InvalidParameter: Two of them, or not 1 to 128 printable ASCII characters without blanks, quotes, backslashes.
    """
    if not values:
        return None
    match = _KEY.fullmatch(values[0].strip()) if len(values) == 1 else None
    if match is None:
        raise InvalidParameter(
            f"{HEADER} takes one value of 1 to 128 printable characters, such as a UUID", parameter=HEADER
        )
    return match[2]


def _of(claim: Claim, entry: dict[str, str]) -> Claim:
    if entry["fingerprint"] != claim.fingerprint:
        raise InvalidParameter(f"This {HEADER} was used for another request", parameter=HEADER)
    if "answer" not in entry:
        raise RequestInProgress(f"A request with this {HEADER} is running", retry_after=1.0)
    return Claim(
        claim.tenant, claim.name, claim.fingerprint, answer=entry["answer"].encode(), request_id=entry["request_id"]
    )


def _wait(milliseconds: int) -> float:
    """Until the first of all kept answers ends: there is no room earlier, though there may be none then."""
    return min(_LONGEST_WAIT_SECONDS, max(1.0, math.ceil(milliseconds / 1000)))
