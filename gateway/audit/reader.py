"""Step 7 of 7: reading the log: search, export, verification. Nothing here can change it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway.audit.chain import Head, public_digest
from gateway.audit.checkpoints import Checkpoint, Truncation, TrustedKeys
from gateway.audit.keys import KeyRing
from gateway.audit.sealer import checkpoint_path
from gateway.audit.store import AuditStore
from gateway.audit.tables import audit, audit_checkpoints, audit_truncations
from gateway.audit.verify import COLUMNS, Verification
from gateway.errors import AuditUnavailable, NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from sqlalchemy import URL, Column, Row, Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from gateway.audit.chain import Record
    from gateway.audit.search import Filters, Page
    from gateway.audit.verify import Report
    from gateway.settings import AuditSettings

_PAGE = 500
"""Rows read at once: memory stays small however long the log is, and the loop is free between them."""
_DAMAGED = {"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CORRUPT_VTAB", "SQLITE_CORRUPT_INDEX"}


class AuditReader:
    """The log, for those who may read it.

    Every method raises AuditUnavailable when the store cannot be read.

    Args:
        engine: Of ``gateway.database``; whoever made it closes it.
        settings: Keys and checkpoints.

    Attributes:
        on_verified: Told of what each verification found.
    """

    def __init__(self, engine: AsyncEngine, settings: AuditSettings) -> None:
        self.on_verified: Callable[[Report], None] = lambda _report: None
        self._engine = engine
        self._settings = settings
        self._keys = KeyRing.of(settings)
        self._store = AuditStore(engine, self._keys)

    async def check(self) -> None:
        """See that the log is there and can be read."""
        async with self._errors_named():
            await self._store.head()

    async def find(self, filters: Filters, cursor: int | None = None, limit: int = 100) -> Page:
        """The newest records that match; the page's cursor leads to those after it. A page may be short."""
        async with self._errors_named():
            return await self._store.find(filters, cursor, limit)

    async def newest(self, filters: Filters, cursor: int | None = None, limit: int = 100) -> tuple[Record, ...]:
        """As many as there are, up to ``limit``, however long the search takes."""
        found: list[Record] = []
        while True:
            page = await self.find(filters, cursor, limit - len(found))
            found += page.records
            cursor = page.cursor
            if cursor is None or len(found) >= limit:
                return tuple(found)

    async def checkpoints(self, first: int, last: int) -> list[Checkpoint]:
        """Those over a part of the log, and the first one beyond it."""
        table = audit_checkpoints.c
        within = select(*table).where(table.size >= first, table.size <= last).order_by(table.size)
        beyond = select(*table).where(table.size > last).order_by(table.size).limit(1)
        async with self._errors_named(), self._engine.connect() as connection:
            rows = [*await connection.execute(within), *await connection.execute(beyond)]
        return [Checkpoint(*tuple(row)) for row in rows]

    async def reach(self) -> tuple[int, Checkpoint | None]:
        """The last record's number, and the newest checkpoint of the table: what they say, unverified."""
        newest = select(*audit_checkpoints.c).order_by(audit_checkpoints.c.size.desc()).limit(1)
        async with self._errors_named(), self._engine.connect() as connection:
            last = (await connection.execute(select(func.max(audit.c.seq)))).scalar_one() or 0
            row = (await connection.execute(newest)).one_or_none()
        return last, Checkpoint(*tuple(row)) if row else None

    async def range_of(self, filters: Filters) -> tuple[int, int]:
        """After which number the records that match begin, and the last number that they may have now."""
        async with self._errors_named():
            return await self._store.range_of(filters)

    async def walk(
        self,
        filters: Filters,
        after_seq: int = 0,
        until: int | None = None,
        progress: Callable[[int], None] = lambda _reached: None,
    ) -> AsyncIterator[Record]:
        """All that match, oldest first, up to the log's end of now or to ``until``.

        Each piece is a query of its own: nothing of the database is held while the caller is busy with a record.
        """
        low, high = await self.range_of(filters)
        after_seq, until = max(after_seq, low), high if until is None else min(high, until)
        while after_seq < until:
            async with self._errors_named():
                records, after_seq = await self._store.read_on(after_seq, until, _PAGE, filters)
            for record in records:
                yield record
            progress(after_seq)

    async def verify(
        self,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
        *,
        after: int = 0,
        most: int | None = None,
        page: int = _PAGE,
        enough: Callable[[], bool] = lambda: False,
    ) -> Report:
        """Verify the log as it is now, or a part of it; what is added meanwhile is left out.

        Args:
            progress: Told, after each page, up to which number of how many it has come.
            after: Begin after this record, which is taken for good; 0 from the beginning.
            most: Most records to read; None up to the end.
            page: Rows read at once.
            enough: Asked after each page whether to stop there.

        Raises:
            NotFound: There is no record of the number ``after``.
        """
        async with self._errors_named(), self._engine.connect() as connection:
            # Statements before the log's end: records are committed first, so none of these can be ahead of it.
            elsewhere = await asyncio.to_thread(_lines, checkpoint_path(self._engine.url, self._settings))
            unreadable: list[int] = []
            known = select(func.max(audit_checkpoints.c.size)).where(audit_checkpoints.c.size <= after)
            # Checkpoints before the last one up to ``after`` were judged with the part before.
            judged = ((await connection.execute(known)).scalar_one() or 1) - 1
            make = partial(
                Verification,
                self._keys,
                TrustedKeys.of(self._settings),
                stored=[Checkpoint(*row) async for row in _rows(connection, audit_checkpoints, unreadable, judged)],
                truncations=[Truncation(*row) async for row in _rows(connection, audit_truncations, unreadable)],
                elsewhere=None if after else elsewhere,
                checkpoint_every=self._settings.checkpoint_every,
                after=await _head_at(connection, after) if after else None,
            )
            verification = await asyncio.to_thread(make)  # a signature takes 0.1 ms, and there may be thousands
            for size in unreadable:
                verification.unreadable_checkpoint(size)
            last = (await connection.execute(select(func.max(audit.c.seq)))).scalar_one() or 0
            until = last if most is None else min(last, max(after, verification.report.given_up) + most)
            stopped = await _walk(
                connection, verification, after or None, until=until, page=page, progress=progress, enough=enough
            )
        report = verification.finish(whole=until == last and not stopped)
        self.on_verified(report)
        return report

    @asynccontextmanager
    async def _errors_named(self) -> AsyncIterator[None]:
        """Turn every way in which a database fails into the one error that the caller is told; its text stays here."""
        if _missing(self._engine.url):
            raise AuditUnavailable("There is no database here")  # to connect would make an empty one
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            raise AuditUnavailable(f"The audit store cannot be read ({type(error).__name__})") from None


async def _walk(
    connection: AsyncConnection,
    verification: Verification,
    after: int | None,
    *,
    until: int,
    page: int,
    progress: Callable[[int, int], None],
    enough: Callable[[], bool],
) -> bool:
    """Read on; whether it was stopped before the end."""
    columns = [audit.c[name] for name in COLUMNS]
    try:
        async for rows in _pages(connection, audit.c.seq, columns, after=after, last=until, most=page):
            if isinstance(rows, int):
                verification.unreadable(rows)
            else:
                verification.add_all(rows)
            progress(verification.report.last, until)
            if enough():
                return verification.report.last < until
    except DBAPIError as error:
        if getattr(error.orig, "sqlite_errorname", "") not in _DAMAGED:
            raise
        verification.broken_off()
    return False


async def _head_at(connection: AsyncConnection, seq: int) -> Head:
    query = select(audit.c.hash, audit.c.body).where(audit.c.seq == seq)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFound("There is no record of this number")
    return Head(seq, row.hash, public_digest(row.body.encode()))


async def _rows(
    connection: AsyncConnection, table: Table, unreadable: list[int], after: int = 0
) -> AsyncIterator[tuple[Any, ...]]:
    """The rows of a table of statements; the sizes of those that cannot be read are added to a list."""
    async for page in _pages(connection, table.c.size, table.c, after=after or None):
        if isinstance(page, int):
            unreadable.append(page)
            continue
        for row in page:
            yield tuple(row)


async def _pages(
    connection: AsyncConnection,
    number: Column[int],
    columns: Iterable[Column[Any]],
    *,
    after: int | None = None,
    last: int | None = None,
    most: int = _PAGE,
) -> AsyncIterator[Sequence[Row[*tuple[Any, ...]]] | int]:
    """Rows in the order of ``number``, page by page; in place of a row that the database cannot read, its number.

    SQLite keeps text that is not UTF-8 if someone writes it, and refuses to read it: the page shrinks to that row.
    """
    size = most
    while True:
        rest = [] if after is None else [number > after]
        rest += [] if last is None else [number <= last]
        query = select(*columns).where(*rest).order_by(number).limit(size)
        try:
            page = (await connection.execute(query)).all()
        except DBAPIError:
            if size > 1:
                size //= 2
                continue
            after = (await connection.execute(select(func.min(number)).where(*rest))).scalar_one()
            yield after
            continue
        if page:
            yield page
            after = page[-1][0]
        if len(page) < size:
            return
        size = min(2 * size, most)


def _missing(url: URL) -> bool:
    file = url.database
    return url.get_backend_name() == "sqlite" and file not in {None, "", ":memory:"} and not Path(str(file)).exists()


def _lines(path: Path | None) -> list[bytes] | None:
    """The second place, line by line; None if there is none."""
    if path is None or not path.exists():
        return None
    return path.read_bytes().splitlines(keepends=True)
