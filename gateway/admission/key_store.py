"""Step 1 of 7: the keys in SQL, which is the truth about them: issue, find, list, change, rotate, revoke.

Every call is bounded by two seconds: a sick database costs a clear error, never a hang. Every change of a key that was
there is told to all workers (``changes.py``) as soon as it is committed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, case, func, or_, select, update

from gateway.admission import key_rows
from gateway.admission.key_record import KeyRecord, NewKey, check_new_key
from gateway.admission.key_tables import api_key_secrets, api_keys
from gateway.admission.sql import reading, writing
from gateway.errors import InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from gateway.admission.changes import Changes
    from gateway.admission.keys import IssuedKey, KeyMaker

MAX_OVERLAP = timedelta(days=7)


class KeyStore:
    """The tables of keys.

    Every method raises StoreUnavailable when the database cannot be reached, fails, or takes longer than two seconds.

    Args:
        engine: Of ``gateway.database``; whoever made it closes it.
        maker: Makes the secrets and their digests.
        now: The clock, in UTC.
        changes: Told of what was changed; nobody is if there is none, and workers find it within half a second.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        maker: KeyMaker,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        changes: Changes | None = None,
    ) -> None:
        self._engine = engine
        self._maker = maker
        self._now = now
        self._changes = changes

    async def issue(self, new: NewKey) -> tuple[KeyRecord, IssuedKey]:
        """Make and store a key. The secret is in the second part of the answer, and nowhere else ever again.

        Raises:
            InvalidParameter: A field does not fit; the detail names it.
        """
        now = self._now()
        check_new_key(new, now)
        issued = self._maker.issue()
        async with writing(self._engine) as connection:
            record = await key_rows.add(connection, issued.key_id, new, issued.digest, now)
        return record, issued

    async def find(self, key_id: str) -> KeyRecord | None:
        """The key with this ID, whatever its state; None if there is none."""
        async with reading(self._engine) as connection:
            return await key_rows.read(connection, key_id)

    async def find_all(self, key_ids: Iterable[str]) -> dict[str, KeyRecord]:
        """Those of these keys that there are, by their IDs, in one look."""
        async with reading(self._engine) as connection:
            rows = await connection.execute(key_rows.joined().where(api_keys.c.key_id.in_(list(key_ids))))
            return {record.key_id: record for record in key_rows.records(rows)}

    async def existing(self, key_id: str, *, tenant: str | None = None) -> KeyRecord:
        """The same. Raises NotFound if there is none, or it is of another tenant than the named one."""
        async with reading(self._engine) as connection:
            return await key_rows.existing(connection, key_id, tenant)

    async def list(self, *, tenant: str | None = None, limit: int = 1000) -> tuple[KeyRecord, ...]:
        """The newest keys first; those of one tenant if it is named."""
        some = select(api_keys.c.key_id).order_by(api_keys.c.created_at.desc(), api_keys.c.key_id).limit(limit)
        if tenant is not None:
            some = some.where(api_keys.c.tenant == tenant)
        async with reading(self._engine) as connection:
            rows = await connection.execute(key_rows.joined().where(api_keys.c.key_id.in_(some.scalar_subquery())))
            return key_rows.records(rows)

    async def update(self, key_id: str, new: NewKey, *, revision: int, tenant: str | None = None) -> KeyRecord:
        """Make a key what ``new`` says, its tenant and maker aside, if it was not changed since that revision.

        Raises:
            InvalidParameter: A field does not fit, or the key is revoked.
            NotFound: No such key, or one of another tenant than the named one.
            PreconditionFailed: The key is at another revision.
        """
        check_new_key(new, self._now())
        async with writing(self._engine) as connection:
            await key_rows.existing(connection, key_id, tenant)
            record = await key_rows.change(connection, key_id, new, revision)
        self._tell(key_id)
        return record

    async def revoke(self, key_id: str, *, tenant: str | None = None) -> KeyRecord:
        """End a key now and for good. Revoking it again changes nothing.

        Raises:
            NotFound: No such key, or one of another tenant than the named one.
        """
        async with writing(self._engine) as connection:
            await key_rows.existing(connection, key_id, tenant)
            await key_rows.revoke(connection, key_id, self._now())
            record = await key_rows.existing(connection, key_id, tenant)
        self._tell(key_id)
        return record

    async def rotate(
        self, key_id: str, *, overlap: timedelta = timedelta(0), tenant: str | None = None
    ) -> tuple[KeyRecord, IssuedKey]:
        """Give a key a new secret. Those before it stay good for ``overlap``, and never longer than they were.

        Raises:
            InvalidParameter: The overlap is negative or longer than seven days, or the key has expired or is revoked.
            NotFound: No such key, or one of another tenant than the named one.
        """
        check_overlap(overlap)
        issued = self._maker.issue(key_id)
        async with writing(self._engine) as connection:
            await key_rows.existing(connection, key_id, tenant)
            record = await key_rows.rotate(connection, key_id, issued.digest, overlap, self._now())
        self._tell(key_id)
        return record, issued

    async def touch(self, key_id: str, *, resolution: timedelta) -> None:
        """Note that a key was used; at most one write a ``resolution``, however many workers see it."""
        now = self._now()
        used = api_keys.c.last_used_at
        stale = or_(used.is_(None), used < now - resolution)
        async with writing(self._engine) as connection:
            await connection.execute(
                update(api_keys).where(and_(api_keys.c.key_id == key_id, stale)).values(last_used_at=now)
            )

    async def rehash(self, old: bytes, new: bytes) -> None:
        """Store a secret's digest anew, under the present pepper. Does nothing if that was done already."""
        async with writing(self._engine) as connection:
            await connection.execute(update(api_key_secrets).where(api_key_secrets.c.digest == old).values(digest=new))

    async def ending(self, *within: timedelta) -> tuple[int, ...]:
        """How many keys are good now, and how many of them end within each of these times; but for emergency keys."""
        now, ends = self._now(), api_keys.c.expires_at
        good = and_(api_keys.c.revoked_at.is_(None), or_(ends.is_(None), ends > now), api_keys.c.break_glass == "")
        soon = [func.count(case((ends <= now + time, 1))) for time in within]
        async with reading(self._engine) as connection:
            row = (await connection.execute(select(func.count(), *soon).where(good))).one()
        return tuple(row)

    async def ping(self) -> None:
        """Read from the table."""
        async with reading(self._engine) as connection:
            await connection.execute(select(api_keys.c.key_id).limit(1))

    def _tell(self, key_id: str) -> None:
        if self._changes is not None:
            self._changes.tell("key", key_id)


def check_overlap(overlap: timedelta) -> None:
    """Raises InvalidParameter if it is negative or longer than seven days."""
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise InvalidParameter(f"The overlap must be between 0 and {MAX_OVERLAP.days} days", parameter="overlap")
