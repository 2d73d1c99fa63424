"""Step 7 of 7: finding records in a log of any length in bounded time.

Numbers run with time, so a time range becomes a range of numbers. Of several filters the rarest, counted in its own
index up to a bound, leads: all its records are looked at. Where none is rare, the log is looked at from the newest
down, window by window, until the page is full or the bound of one search is reached; the cursor goes on from there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, literal, select, tuple_

from gateway.audit.chain import time_text
from gateway.audit.search import indexed, others, partial
from gateway.audit.tables import audit

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Row, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.audit.search import Filters

CLOCKS_DIFFER_SECONDS = 3600
"""Most by which the clocks of two nodes may differ, for a search by time to find all."""
FEW = 2000
"""Records of one filter that are all looked at."""
WINDOW = 10_000
"""Numbers looked at in one query, where no filter is rare."""
LOOK = 50_000
"""Numbers looked at in one search, where no filter is rare."""

_COLUMNS = (audit.c.seq, audit.c.body, audit.c.prev, audit.c.hash)
Rows = list["Row[int, str, str, str]"]


async def newest(
    connection: AsyncConnection, filters: Filters, cursor: int | None, limit: int
) -> tuple[Rows, int | None]:
    """The newest records before ``cursor`` that match, at most ``limit``, and the cursor of what comes after them.

    The cursor is None where there is no more.
    """
    low, high = await bounds(connection, filters)
    high = high if cursor is None else min(high, cursor)
    by = await _leader(connection, filters, low, high)
    if by is not None or (not indexed(filters) and filters.outcome is None):
        query = query_of(connection.dialect.name, filters, by, low, high).limit(limit + 1)
        found = list(await connection.execute(query))
        return found[:limit], found[limit - 1].seq if len(found) > limit else None
    return await _by_windows(connection, filters, low, high, limit)


async def oldest(connection: AsyncConnection, filters: Filters, after: int, until: int, limit: int) -> tuple[Rows, int]:
    """Records after ``after`` and up to ``until`` that match, at most ``limit``, and after which number to go on.

    Looks at one window: there may be none in it, and more behind it.
    """
    by = next(iter(indexed(filters)), None)
    high = min(until, after + LOOK)
    query = query_of(connection.dialect.name, filters, by, after, high + 1, newest_first=False).limit(limit)
    found = list(await connection.execute(query.where(*_window(after, high + 1))))
    return found, found[-1].seq if len(found) == limit else high


async def bounds(connection: AsyncConnection, filters: Filters) -> tuple[int, int]:
    """The records that match have numbers greater than the first and smaller than the second."""
    low = await _number_before(connection, filters.since) if filters.since else 0
    high = await _number_from(connection, filters.until) if filters.until else None
    if high is None:
        last = (await connection.execute(select(func.max(audit.c.seq)))).scalar_one()
        high = (last or 0) + 1
    return low, high


async def _number_before(connection: AsyncConnection, time: datetime) -> int:
    """Of the last record that was surely made before this time; 0 if there is none."""
    query = select(audit.c.seq).where(audit.c.time < _moved(time, -CLOCKS_DIFFER_SECONDS))
    return (await connection.execute(query.order_by(audit.c.time.desc()).limit(1))).scalar_one_or_none() or 0


async def _number_from(connection: AsyncConnection, time: datetime) -> int | None:
    """Of the first record that was surely made after this time; None if there is none."""
    query = select(audit.c.seq).where(audit.c.time >= _moved(time, CLOCKS_DIFFER_SECONDS))
    return (await connection.execute(query.order_by(audit.c.time).limit(1))).scalar_one_or_none()


def _moved(time: datetime, seconds: int) -> str:
    try:
        return time_text(time + timedelta(seconds=seconds))
    except OverflowError:  # at either end of what a date can be
        return time_text(time)


async def _leader(connection: AsyncConnection, filters: Filters, low: int, high: int) -> str | None:
    """The filter with the fewest records in this range, if they are few; or the only one that is set."""
    names = indexed(filters)
    if len([name for name in filters.names() if name not in {"since", "until"}]) == 1:
        return next(iter(names), None)
    counts: dict[str, int] = {}
    for name in names:
        some = _led(connection.dialect.name, filters, name, low, high).limit(FEW)
        counts[name] = (await connection.execute(select(func.count()).select_from(some.subquery()))).scalar_one()
        if counts[name] < FEW // 10:
            return name
    rarest = min(counts, key=counts.__getitem__, default=None)
    return rarest if rarest is not None and counts[rarest] < FEW else None


async def _by_windows(
    connection: AsyncConnection, filters: Filters, low: int, high: int, limit: int
) -> tuple[Rows, int | None]:
    by = next(iter(indexed(filters)), None)
    found: Rows = []
    end = max(low + 1, high - LOOK)
    while high > end:
        start = max(end, high - WINDOW)
        query = query_of(connection.dialect.name, filters, by, start - 1, high).limit(limit + 1 - len(found))
        found += await connection.execute(query.where(*_window(start - 1, high)))
        if len(found) > limit:
            return found[:limit], found[limit - 1].seq
        high = start
    return found, high if high > low + 1 else None


def query_of(
    dialect: str, filters: Filters, by: str | None, low: int, high: int, *, newest_first: bool = True
) -> Select[int, str, str, str]:
    """The records between two numbers that match, in order.

    Args:
        dialect: Of the database.
        filters: What to look for.
        by: The filter whose index leads; None for the numbers themselves.
        low: Only greater numbers.
        high: Only smaller numbers.
        newest_first: Or the oldest.
    """
    query: Select[int, str, str, str] = _led(dialect, filters, by, low, high, newest_first=newest_first)
    return query.with_only_columns(*_COLUMNS).where(*others(filters, by))


def _window(low: int, high: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Said once more for PostgreSQL's planner, which does not see from pairs how few numbers a window has."""
    return audit.c.seq > low, audit.c.seq < high


def _led(
    dialect: str, filters: Filters, by: str | None, low: int, high: int, *, newest_first: bool = True
) -> Select[Any]:
    """All that the leading filter and the numbers leave, by the order of its index."""
    seq = audit.c.seq
    if by is None or by == "request_id" or dialect == "sqlite":
        led = [] if by is None else [audit.c[by] == getattr(filters, by), *partial(filters, by)]
        query = select(seq).where(*led, seq > low, seq < high)
        return query.order_by(seq.desc() if newest_first else seq)
    # PostgreSQL knows that a column which equals something is constant, and then takes the primary key's order, row by
    # row, past all that does not match, where it thinks that many do. Of a comparison of pairs it does not know it:
    # only the index of both columns has this order.
    column, value = audit.c[by], getattr(filters, by)
    pair = tuple_(column, seq)
    between = (pair > tuple_(literal(value), literal(low)), pair < tuple_(literal(value), literal(high)))
    order = (column.desc(), seq.desc()) if newest_first else (column, seq)
    return select(seq).where(*between, *partial(filters, by)).order_by(*order)
