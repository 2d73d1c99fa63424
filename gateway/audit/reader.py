"""Step 7 of 7: reading the log: search, export, verification. Nothing here can change it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway.audit.checkpoints import Checkpoint, Signer
from gateway.audit.sealer import checkpoint_path
from gateway.audit.store import AuditStore
from gateway.audit.tables import audit, audit_checkpoints
from gateway.audit.verify import COLUMNS, Verification
from gateway.errors import AuditUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from sqlalchemy import URL, Column, Row
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
    """

    def __init__(self, engine: AsyncEngine, settings: AuditSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._key = settings.chain_key.get_secret_value().encode()
        self._store = AuditStore(engine, self._key)

    async def check(self) -> None:
        """See that the log is there and can be read."""
        async with self._errors_named():
            await self._store.head()

    async def find(self, filters: Filters, cursor: int | None = None, limit: int = 100) -> Page:
        """The newest records that match; the page's cursor leads to those after it."""
        async with self._errors_named():
            return await self._store.find(filters, cursor, limit)

    async def walk(self, filters: Filters, after_seq: int = 0) -> AsyncIterator[Record]:
        """All that match, oldest first, as many as there are when the walk reaches the end."""
        while True:
            async with self._errors_named():
                records = await self._store.read(after_seq, _PAGE, filters)
            for record in records:
                yield record
            if len(records) < _PAGE:
                return
            after_seq = records[-1].seq

    async def verify(self, progress: Callable[[int, int], None] = lambda _done, _total: None) -> Report:
        """Verify the log as it is now; what is added meanwhile is left out.

        Args:
            progress: Told, after each page, up to which number of how many it has come.
        """
        async with self._errors_named(), self._engine.connect() as connection:
            # Checkpoints before the log's end: records are committed first, so none of these can be ahead of it.
            elsewhere = await asyncio.to_thread(_lines, checkpoint_path(self._engine.url, self._settings))
            stored = [page async for page in _pages(connection, audit_checkpoints.c.size, audit_checkpoints.c, None)]
            verification = Verification(
                self._key,
                Signer.of(self._settings).public,
                stored=[Checkpoint(*row) for page in stored if not isinstance(page, int) for row in page],
                elsewhere=elsewhere,
                checkpoint_every=self._settings.checkpoint_every,
            )
            for size in stored:
                if isinstance(size, int):
                    verification.unreadable_checkpoint(size)
            await self._walk(connection, verification, progress)
        return verification.finish()

    async def _walk(
        self, connection: AsyncConnection, verification: Verification, progress: Callable[[int, int], None]
    ) -> None:
        last = (await connection.execute(select(func.max(audit.c.seq)))).scalar_one() or 0
        columns = [audit.c[name] for name in COLUMNS]
        try:
            async for page in _pages(connection, audit.c.seq, columns, last):
                if isinstance(page, int):
                    verification.unreadable(page)
                else:
                    for row in page:
                        verification.add(row)
                progress(verification.report.last, last)
        except DBAPIError as error:
            if getattr(error.orig, "sqlite_errorname", "") not in _DAMAGED:
                raise
            verification.broken_off()

    @asynccontextmanager
    async def _errors_named(self) -> AsyncIterator[None]:
        """Turn every way in which a database fails into the one error that the caller is told; its text stays here."""
        if _missing(self._engine.url):
            raise AuditUnavailable("There is no database here")  # to connect would make an empty one
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            raise AuditUnavailable(f"The audit store cannot be read ({type(error).__name__})") from None


async def _pages(
    connection: AsyncConnection, number: Column[int], columns: Iterable[Column[Any]], last: int | None
) -> AsyncIterator[Sequence[Row[*tuple[Any, ...]]] | int]:
    """Rows in the order of ``number``, page by page; in place of a row that the database cannot read, its number.

    SQLite keeps text that is not UTF-8 if someone writes it, and refuses to read it: the page shrinks to that row.
    """
    after: int | None = None
    size = _PAGE
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
        size = min(2 * size, _PAGE)


def _missing(url: URL) -> bool:
    file = url.database
    return url.get_backend_name() == "sqlite" and file not in {None, "", ":memory:"} and not Path(str(file)).exists()


def _lines(path: Path | None) -> list[bytes] | None:
    """The second place, line by line; None if there is none."""
    if path is None or not path.exists():
        return None
    return path.read_bytes().splitlines(keepends=True)
