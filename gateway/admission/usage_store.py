"""Step 1 of 7: usage in SQL: many processes add to it, those who may read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from gateway.admission.key_tables import api_keys
from gateway.admission.sql import reading, writing
from gateway.admission.usage_report import UsageDay
from gateway.admission.usage_tables import COUNTS, MEASURES, usage, usage_writers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

_NAMES = ("day", "tenant", "key_id", *MEASURES)
_WRITER_DAYS = 2  # longer than any batch is tried again
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """Which rows.

    Attributes:
        first: First day, in UTC.
        last: Last day.
        tenant: Of this tenant alone.
        key_id: Of this key alone.
    """

    first: date
    last: date
    tenant: str | None = None
    key_id: str | None = None


class UsageStore:
    """The table of usage.

    Every method raises StoreUnavailable when the database cannot be reached, fails, or takes longer than two seconds.

    Args:
        engine: Of ``gateway.database``; whoever made it closes it.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        insert: Any = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
        new = insert(usage)
        self._add = new.on_conflict_do_update(
            index_elements=list(usage.primary_key),
            set_={name: usage.c[name] + new.excluded[name] for name in MEASURES},
        )
        claim = insert(usage_writers)
        self._claim = claim.on_conflict_do_update(
            index_elements=[usage_writers.c.writer],
            set_={"batch": claim.excluded.batch, "written_at": claim.excluded.written_at},
            where=usage_writers.c.batch < claim.excluded.batch,
        )

    async def add(self, writer: str, batch: int, rows: Sequence[tuple[Any, ...]]) -> bool:
        """Add counts to those that are there, all of them or none.

        Args:
            writer: The process.
            batch: Its number of this batch; one that is in already is left alone.
            rows: Day, tenant, key ID, then the measures in the order of ``MEASURES``.

        Returns:
            Whether it was new.
        """
        # In one order, so that two processes that add to the same rows never wait for each other.
        values = [dict(zip(_NAMES, row, strict=True)) for row in sorted(rows, key=lambda row: row[:3])]
        async with writing(self._engine) as connection:
            claim = {"writer": writer, "batch": batch, "written_at": datetime.now(UTC)}
            if not (await connection.execute(self._claim, claim)).rowcount:
                return False
            await connection.execute(self._add, values)
        return True

    async def find(self, asked: Asked, after: UsageDay | tuple[date, str, str] | None, limit: int) -> list[UsageDay]:
        """A page: the newest day first, then by tenant and key.

        Args:
            asked: Which.
            after: The last of the page before: its row, or day, tenant and key ID.
            limit: Most rows.
        """
        query = select(*(usage.c[name] for name in _NAMES)).where(usage.c.day.between(asked.first, asked.last))
        if asked.tenant is not None:
            query = query.where(usage.c.tenant == asked.tenant)
        if asked.key_id is not None:
            query = query.where(usage.c.key_id == asked.key_id)
        if after is not None:
            day, *who = (after.day, after.tenant, after.key_id) if isinstance(after, UsageDay) else after
            later = (usage.c.day == day) & (tuple_(usage.c.tenant, usage.c.key_id) > tuple_(*who))
            query = query.where((usage.c.day < day) | later)
        query = query.order_by(usage.c.day.desc(), usage.c.tenant, usage.c.key_id).limit(limit)
        async with reading(self._engine) as connection:
            return [_row(row) for row in await connection.execute(query)]

    async def walk(self, asked: Asked) -> AsyncIterator[list[UsageDay]]:
        """All of them, page by page: memory stays small however many there are."""
        after: UsageDay | None = None
        while page := await self.find(asked, after, _PAGE):
            yield page
            after = page[-1]

    async def owners(self) -> dict[str, str]:
        """Key ID to owner, of all keys."""
        async with reading(self._engine) as connection:
            rows = await connection.execute(select(api_keys.c.key_id, api_keys.c.owner))
            return {row.key_id: row.owner for row in rows}

    async def remove_before(self, day: date) -> None:
        """Remove the rows of days before this one, and writers that are long gone."""
        gone = datetime.combine(datetime.now(UTC).date(), time(), UTC) - timedelta(days=_WRITER_DAYS)
        async with writing(self._engine) as connection:
            await connection.execute(delete(usage).where(usage.c.day < day))
            await connection.execute(delete(usage_writers).where(usage_writers.c.written_at < gone))


def _row(row: Sequence[Any]) -> UsageDay:
    day, tenant, key_id, *measures = row
    counts, buckets = measures[: len(COUNTS)], measures[len(COUNTS) :]
    return UsageDay(day, tenant, key_id, **dict(zip(COUNTS, counts, strict=True)), buckets=tuple(buckets))
