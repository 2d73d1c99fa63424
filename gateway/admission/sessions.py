"""Step 1 of 7: people at the console: a session in Redis, opened with a credential and only as good as that one is.

    sign in ─▶ a new random ID in a cookie, its SHA-256 in Redis ─▶ each request: is it there, is its key still good?
                                                             └─▶ gone: signed out, idle too long, over, lost by Redis

Nobody who reads Redis can use what is there. A key that is revoked, has expired, or lost the secret that the session
was opened with ends the session as it ends the key: the key is looked at anew by each request.
Sources: OWASP ASVS 5.0 V7, RFC 6265bis (the prefix ``__Host-``).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from redis.exceptions import RedisError

from gateway.admission.authenticate import CredentialRefused
from gateway.admission.redis_url import close, connect
from gateway.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from gateway.admission.principal import Principal
    from gateway.settings import ConsoleSettings, RedisSettings

COOKIE = "__Host-cordon"
MAX_SESSIONS = 20
"""Sessions that one credential may have at once; the oldest makes room."""

_ID = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 bits


class Holder(Protocol):
    """One kind of credential that a session may be opened with: API keys today, a house's own login beside it."""

    async def still(self, key_id: str, marks: Collection[str], address: str) -> Principal:
        """The principal as it is now.

        Args:
            key_id: The credential's public ID.
            marks: Of what it proved itself with when the session was opened.
            address: The peer's.

        Raises:
            CredentialRefused: It is not good any more.
            StoreUnavailable: That cannot be found out.
        """


@dataclass(frozen=True, slots=True)
class Session:
    """Someone who is signed in.

    Attributes:
        secret: What the cookie holds.
        holder: Name of the kind of credential.
        key_id: The credential's public ID.
        marks: What the holder knows the credential by.
        began: When it was opened, UTC.
        ends: When it ends however busy it is, UTC.
        browser: What opened it, as one of a few words of ours.
        idle_seconds: How long it may be idle from now on.
    """

    secret: str = field(repr=False)
    holder: str
    key_id: str
    marks: tuple[str, ...] = field(repr=False)
    began: datetime
    ends: datetime
    browser: str
    idle_seconds: int

    @property
    def handle(self) -> str:
        """Tells the caller's sessions apart; of no use to anyone."""
        return _digest(self.secret)[:12]

    @property
    def csrf(self) -> str:
        """What every form of this session carries: made of the secret, and does not give it away."""
        made = hmac.digest(self.secret.encode(), b"cordon console csrf", hashlib.sha256)
        return urlsafe_b64encode(made).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class OpenSession:
    """One of a credential's sessions, as it may see it itself."""

    handle: str
    began: datetime
    ends: datetime
    browser: str
    idle_seconds: int


class Sessions:
    """The sessions of all gateway processes.

    Every method raises StoreUnavailable while Redis is away.

    Args:
        redis: Where they are.
        settings: How long they last.
        holders: Name to each kind of credential that may open one.
        now: The clock, in UTC.
    """

    def __init__(
        self,
        redis: RedisSettings,
        settings: ConsoleSettings,
        holders: Mapping[str, Holder],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._redis = connect(redis)
        self._timeout = redis.timeout_seconds
        self._turns = asyncio.Semaphore(redis.pool_size)
        self._settings = settings
        self._holders = dict(holders)
        self._now = now

    async def open(self, holder: str, key_id: str, marks: Iterable[str], browser: str) -> Session:
        """Begin one, under an ID that was never used before."""
        now = self._now()
        ends = now + timedelta(seconds=self._settings.absolute_seconds)
        session = Session(
            secrets.token_urlsafe(32), holder, key_id, tuple(marks), now, ends, browser, self._settings.idle_seconds
        )
        entry = {
            "holder": holder,
            "key_id": key_id,
            "marks": session.marks,
            "began": now.timestamp(),
            "ends": ends.timestamp(),
            "browser": browser,
        }
        digest, index = _digest(session.secret), _index(key_id)
        await self._call(self._redis.set, _name(digest), orjson.dumps(entry), px=self._left_ms(ends))
        await self._call(self._redis.zadd, index, {digest: ends.timestamp()})
        await self._call(self._redis.expire, index, self._settings.absolute_seconds)
        surplus: list[bytes] = await self._call(self._redis.zrange, index, 0, -(MAX_SESSIONS + 1))
        for old in surplus:
            await self._end(key_id, old.decode())
        return session

    async def authenticate(self, secret: str | None, address: str) -> tuple[Principal, Session]:
        """Who is signed in, with what they may do as of now; keeps the session from becoming idle.

        Args:
            secret: What the cookie holds, if there is exactly one.
            address: The peer's.

        Raises:
            CredentialRefused: Nobody is, or the credential is not good any more.
        """
        if secret is None:
            raise CredentialRefused("Sign in to the console", reason="session-missing")
        session = await self.find(secret)
        if session is None or session.holder not in self._holders:
            raise CredentialRefused("The session has ended: sign in again", reason="session-ended")
        try:
            principal = await self._holders[session.holder].still(session.key_id, session.marks, address)
        except CredentialRefused:
            await self.close_one(session)
            raise
        await self._call(self._redis.pexpire, _name(_digest(secret)), self._left_ms(session.ends))
        return principal, session

    async def list(self, key_id: str) -> tuple[OpenSession, ...]:
        """The sessions of one credential, the newest first."""
        digests: list[bytes] = await self._call(self._redis.zrange, _index(key_id), 0, -1)
        found = []
        for digest in (each.decode() for each in digests):
            entry = await self._call(self._redis.get, _name(digest))
            if entry is None:
                await self._call(self._redis.zrem, _index(key_id), digest)
                continue
            left = await self._call(self._redis.pttl, _name(digest))
            said = orjson.loads(entry)
            began, ends = (datetime.fromtimestamp(said[name], UTC) for name in ("began", "ends"))
            found.append(OpenSession(digest[:12], began, ends, said["browser"], max(0, left) // 1000))
        return tuple(sorted(found, key=lambda each: each.began, reverse=True))

    async def close_one(self, session: Session) -> None:
        """Sign out."""
        await self._end(session.key_id, _digest(session.secret))

    async def close_others(self, session: Session) -> int:
        """End all sessions of this credential but this one. How many there were."""
        own = _digest(session.secret)
        digests: list[bytes] = await self._call(self._redis.zrange, _index(session.key_id), 0, -1)
        others = [each.decode() for each in digests if each.decode() != own]
        for digest in others:
            await self._end(session.key_id, digest)
        return len(others)

    async def close(self) -> None:
        """Close the connections."""
        await close(self._redis)

    async def find(self, secret: str | None) -> Session | None:
        """The session of this cookie, whether or not its credential is good still; None if there is none."""
        if secret is None:
            return None
        entry = await self._call(self._redis.get, _name(_digest(secret)))
        if entry is None:
            return None
        said = orjson.loads(entry)
        began, ends = (datetime.fromtimestamp(said[name], UTC) for name in ("began", "ends"))
        if ends <= self._now():
            return None
        idle = self._left_ms(ends) // 1000
        return Session(secret, said["holder"], said["key_id"], tuple(said["marks"]), began, ends, said["browser"], idle)

    def _left_ms(self, ends: datetime) -> int:
        """How long it may be idle from now: never beyond its end."""
        rest = (ends - self._now()).total_seconds()
        return max(1, int(1000 * min(rest, self._settings.idle_seconds)))

    async def _end(self, key_id: str, digest: str) -> None:
        await self._call(self._redis.delete, _name(digest))
        await self._call(self._redis.zrem, _index(key_id), digest)

    async def _call(self, command: Any, *arguments: Any, **options: Any) -> Any:
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                return await command(*arguments, **options)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable("The console's sessions cannot be reached", retry_after=1.0) from error


def cookie_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """What the session's cookie holds, from an ASGI head; None if there is none, or two, or it is no ID of ours."""
    found = [
        value.strip()
        for name, line in headers
        if name == b"cookie"
        for key, _, value in (each.partition("=") for each in line.decode("latin-1").split(";"))
        if key.strip() == COOKIE
    ]
    return found[0] if len(found) == 1 and _ID.fullmatch(found[0]) else None


def set_cookie(secret: str) -> str:
    """The header's value. No ``Domain``, and ``Path=/``, as the prefix asks; gone when the browser is closed."""
    return f"{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict"


def clear_cookie() -> str:
    """The header's value that takes the cookie away."""
    return f"{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _name(digest: str) -> str:
    return f"session:{{{digest}}}"


def _index(key_id: str) -> str:
    return f"sessions:{{{key_id}}}"
