"""Step 1 of 7: tokens ended before their time, by ``jti`` (RFC 7519 §4.1.7); in SQL, and known for less than a second.

Only tokens that are still running stand here, so the whole list is small and is read at once.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Column, LargeBinary, String, Table, delete, insert, or_, select

from gateway.admission.key_tables import UtcDateTime
from gateway.admission.recent import Recent
from gateway.admission.sql import reading, writing
from gateway.database import metadata

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from gateway.admission.changes import Changes

revoked_tokens = Table(
    "revoked_tokens",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("revoked_by", String(64), nullable=False),
    Column("revoked_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)
"""One row a token: the digest of its issuer and ``jti``; it may go when the token would have ended."""


class RevokedTokens:
    """The list.

    Args:
        engine: Of ``gateway.database``; whoever made it closes it.
        cache_seconds: How long it is trusted, counted from when the look at it began.
        now: The clock, in UTC.
        changes: Told of each change, and tells of those of others.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        cache_seconds: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        changes: Changes | None = None,
    ) -> None:
        self._engine = engine
        self._now = now
        self._changes = changes
        self._listed = Recent(self._read, cache_seconds)
        if changes is not None:
            changes.on("tokens", lambda _: self._listed.forget())

    async def revoked(self, issuer: str, token_id: str) -> bool:
        """Whether this token was revoked.

        Raises:
            StoreUnavailable: The list cannot be read.
        """
        return _digest(issuer, token_id) in await self._listed.get()

    async def revoke(self, issuer: str, token_id: str, *, expires_at: datetime, revoked_by: str) -> None:
        """End a token; again is as good as once. What would have ended by itself leaves the list.

        Raises:
            StoreUnavailable: It cannot be written: the token is still good.
        """
        now = self._now()
        row = {
            "digest": _digest(issuer, token_id),
            "revoked_by": revoked_by,
            "revoked_at": now,
            "expires_at": expires_at,
        }
        async with writing(self._engine) as connection:
            over = or_(revoked_tokens.c.expires_at <= now, revoked_tokens.c.digest == row["digest"])
            await connection.execute(delete(revoked_tokens).where(over))
            await connection.execute(insert(revoked_tokens).values(row))
        self._listed.forget()
        if self._changes is not None:
            self._changes.tell("tokens")

    async def _read(self) -> frozenset[bytes]:
        wanted = select(revoked_tokens.c.digest).where(revoked_tokens.c.expires_at > self._now())
        async with reading(self._engine) as connection:
            return frozenset((await connection.execute(wanted)).scalars())


def _digest(issuer: str, token_id: str) -> bytes:
    parts = [part.encode() for part in (issuer, token_id)]
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
