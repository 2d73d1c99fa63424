"""Step 1 of 7: the requests for keys in SQL. A request is decided once, and put into force in the same transaction.

Who may decide is ``key_approval.py``'s to say. Bounded by two seconds, like the keys themselves.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from gateway.admission import key_rows
from gateway.admission.key_record import KeyRecord, check_new_key
from gateway.admission.key_request import Decision, KeyRequest, from_row, to_row
from gateway.admission.key_tables import key_requests
from gateway.admission.sql import reading, writing
from gateway.errors import Conflict, NotFound, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from gateway.admission.changes import Changes


class KeyRequests:
    """The table of requests.

    Every method raises StoreUnavailable when the database fails or takes longer than two seconds.

    Args:
        engine: Of ``gateway.database``; whoever made it closes it.
        now: The clock, in UTC.
        changes: Told of the keys that an approval changes.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        changes: Changes | None = None,
    ) -> None:
        self._engine = engine
        self._now = now
        self._changes = changes

    async def add(self, request: KeyRequest) -> None:
        """Keep it."""
        async with writing(self._engine) as connection:
            await connection.execute(insert(key_requests).values(to_row(request)))

    async def list(self, *, tenant: str | None = None, limit: int = 1000) -> tuple[KeyRequest, ...]:
        """The newest first; those for keys of one tenant if it is named."""
        wanted = select(key_requests).order_by(key_requests.c.requested_at.desc(), key_requests.c.request_id)
        if tenant is not None:
            wanted = wanted.where(key_requests.c.tenant == tenant)
        async with reading(self._engine) as connection:
            return tuple(from_row(row) for row in await connection.execute(wanted.limit(limit)))

    async def existing(self, request_id: str, *, tenant: str | None = None) -> KeyRequest:
        """The request. Raises NotFound if there is none, or its key is of another tenant than the named one."""
        async with reading(self._engine) as connection:
            return await _existing(connection, request_id, tenant)

    async def approve(self, request: KeyRequest, *, by: str) -> tuple[KeyRequest, KeyRecord]:
        """Decide it, and do what it asks for; both or neither.

        Raises:
            Conflict: It was decided before, or is void.
            InvalidParameter: What it asks for cannot be done any more.
            NotFound: The key is gone.
            PreconditionFailed: The key was changed since it was asked for.
        """
        now = self._now()
        async with writing(self._engine) as connection:
            decided = await self._decide(connection, request, "approved", by, now)
            record = await _put_into_force(connection, request, now)
        if self._changes is not None and request.kind != "issue":
            self._changes.tell("key", request.key_id)
        return decided, record

    async def close(self, request: KeyRequest, decision: Decision, *, by: str) -> KeyRequest:
        """Decide it without doing anything. Raises Conflict if it was decided before, or is void."""
        async with writing(self._engine) as connection:
            return await self._decide(connection, request, decision, by, self._now())

    async def expire(self, *, by: str) -> tuple[KeyRequest, ...]:
        """Close what is void. Each is returned once, to whoever closes it, however many ask at once."""
        now = self._now()
        due = select(key_requests).where(key_requests.c.decision.is_(None), key_requests.c.expires_at <= now)
        async with reading(self._engine) as connection:
            found = [from_row(row) for row in await connection.execute(due)]
        closed = []
        for request in found:
            async with writing(self._engine) as connection:
                if await _mark(connection, request, "expired", by, now):
                    closed.append(_decided(request, "expired", by, now))
        return tuple(closed)

    async def _decide(
        self, connection: AsyncConnection, request: KeyRequest, decision: Decision, by: str, now: datetime
    ) -> KeyRequest:
        if request.expires_at <= now:
            raise Conflict("The request is void: nobody decided it in time")
        if not await _mark(connection, request, decision, by, now):
            raise Conflict("The request was decided already")
        return _decided(request, decision, by, now)


async def _mark(connection: AsyncConnection, request: KeyRequest, decision: Decision, by: str, now: datetime) -> bool:
    """Whether it was still open. The digest goes: what is decided needs none, and what is refused must not keep one."""
    done = await connection.execute(
        update(key_requests)
        .where(key_requests.c.request_id == request.request_id, key_requests.c.decision.is_(None))
        .values(decision=decision, decided_by=by, decided_at=now, digest=None)
    )
    return bool(done.rowcount)


def _decided(request: KeyRequest, decision: Decision, by: str, now: datetime) -> KeyRequest:
    return replace(request, decision=decision, decided_by=by, decided_at=now, digest=None)


async def _put_into_force(connection: AsyncConnection, request: KeyRequest, now: datetime) -> KeyRecord:
    match request.kind:
        case "issue":
            assert request.digest is not None
            check_new_key(request.new, now)  # its end may have come meanwhile
            return await key_rows.add(connection, request.key_id, request.new, request.digest, now)
        case "update":
            check_new_key(request.new, now)
            return await key_rows.change(connection, request.key_id, request.new, request.revision)
        case "rotate":
            assert request.digest is not None
            if (await key_rows.existing(connection, request.key_id, None)).revision != request.revision:
                raise PreconditionFailed("The key was changed since: look at it again")
            return await key_rows.rotate(connection, request.key_id, request.digest, request.overlap, now)


async def _existing(connection: AsyncConnection, request_id: str, tenant: str | None) -> KeyRequest:
    rows = await connection.execute(select(key_requests).where(key_requests.c.request_id == request_id))
    row = rows.first()
    if row is None or (tenant is not None and row.tenant != tenant):
        raise NotFound("No such request")
    return from_row(row)
