"""Step 1 of 7: ``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header): a request sent twice is inferred once.

    SET NX "running" ─▶ work ─▶ SET the answer, for a day
         │                 └ failed: DEL, so that trying again tries again
         └ taken: running elsewhere (409), done for the same request (its answer again), or for another one (422)

What is kept is the answer, which identifies nobody, under a digest of tenant and key. If Redis is away, a request that
asks for this is refused: the guarantee cannot be given, and without the header it would be served.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from redis.exceptions import RedisError

from gateway.admission.redis_url import close, connect
from gateway.errors import InvalidParameter, RequestInProgress, StoreUnavailable

if TYPE_CHECKING:
    from gateway.settings import RedisSettings

log = structlog.get_logger(__name__)

HEADER = "Idempotency-Key"
_KEY = re.compile(r'(")?([\x21\x23-\x5b\x5d-\x7e]{1,128})(?(1)")', re.ASCII)
_MOST_TRIES = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do the work of one key, or the answer of who did it.

    Attributes:
        name: Where in Redis.
        fingerprint: Of the request.
        answer: The answer as it was given; None if the work is to be done.
        request_id: Of the request that the answer was given to.
    """

    name: str
    fingerprint: str
    answer: bytes | None = field(default=None, repr=False)
    request_id: str = ""


class Idempotency:
    """Who has which key.

    Args:
        settings: Where Redis is.
        running_seconds: After this a request has ended, however badly, and its key is free.
        keep_seconds: How long an answer is kept.
    """

    def __init__(self, settings: RedisSettings, *, running_seconds: float, keep_seconds: int) -> None:
        self._redis = connect(settings)
        self._turns = asyncio.Semaphore(settings.pool_size)
        self._timeout = settings.timeout_seconds
        self._running_ms = int(running_seconds * 1000)
        self._keep_seconds = keep_seconds

    async def claim(self, tenant: str, key: str, fingerprint: str, request_id: str) -> Claim:
        """Take the key, or find what was answered to it.

        Args:
            tenant: Whose key; another tenant's is another key.
            key: As ``read_key`` gives it.
            fingerprint: Digest of all that the answer depends on.
            request_id: Correlation ID.

        Raises:
            RequestInProgress: A request with this key is running.
            InvalidParameter: The key was used for another request.
            StoreUnavailable: Redis is away.
        """
        name = "idem:{" + hashlib.sha256(f"{tenant}\n{key}".encode()).hexdigest() + "}"
        mine = orjson.dumps({"fingerprint": fingerprint, "request_id": request_id})
        for _ in range(_MOST_TRIES):
            if await self._call(self._redis.set, name, mine, nx=True, px=self._running_ms):
                return Claim(name, fingerprint)
            found = await self._call(self._redis.get, name)
            if found is not None:
                return _of(name, fingerprint, orjson.loads(found))
        raise RequestInProgress("A request with this Idempotency-Key is running", retry_after=1.0)  # others keep ending

    async def keep(self, claim: Claim, answer: bytes, request_id: str) -> None:
        """Keep the answer. If it cannot be kept, that is logged and the answer goes out all the same."""
        entry = {"fingerprint": claim.fingerprint, "request_id": request_id, "answer": answer.decode()}
        try:
            await self._call(self._redis.set, claim.name, orjson.dumps(entry), ex=self._keep_seconds)
        except StoreUnavailable:
            log.warning("idempotency.not-kept")

    async def give_up(self, claim: Claim) -> None:
        """Let the key go: there is no answer. Never raises; the key is free in time anyway."""
        try:
            await self._call(self._redis.delete, claim.name)
        except StoreUnavailable:
            log.warning("idempotency.not-freed")

    async def close(self) -> None:
        """Close the connections."""
        await close(self._redis)

    async def _call(self, command: Any, *arguments: Any, **options: Any) -> Any:
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                return await command(*arguments, **options)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(
                "The record of Idempotency-Keys cannot be reached; without the header the request is served",
                retry_after=1.0,
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


def _of(name: str, fingerprint: str, entry: dict[str, str]) -> Claim:
    if entry["fingerprint"] != fingerprint:
        raise InvalidParameter(f"This {HEADER} was used for another request", parameter=HEADER)
    if "answer" not in entry:
        raise RequestInProgress(f"A request with this {HEADER} is running", retry_after=1.0)
    return Claim(name, fingerprint, entry["answer"].encode(), entry["request_id"])
