"""Step 7 of 7: the chain in SQL. Any number of processes and nodes append to it, and it never forks.

An append is one transaction: take the write lock (SQLite ``BEGIN IMMEDIATE``, PostgreSQL an advisory lock), read the
head, link, insert, commit. The primary key is a second guard: two records cannot have one number.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import text

from gateway.audit.chain import EMPTY, MAX_INTEGER, Head, Record, link, public_digest
from gateway.audit.events import fields_of
from gateway.audit.finder import bounds, newest, oldest
from gateway.audit.search import Filters, Page
from gateway.audit.transaction import HEAD, transaction_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from sqlalchemy import Row as SqlRow
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from gateway.audit.events import AuditEvent
    from gateway.audit.keys import ChainKey, KeyRing
    from gateway.audit.transaction import Row, Transaction

_CUSTOM_PLANS = text("SET LOCAL plan_cache_mode = force_custom_plan")


def patience(engine: AsyncEngine, seconds: float) -> float | None:
    """How long a transaction may take until it is given up; None for SQLite, whose own limits end it.

    There, ``gateway.database`` bounds the wait for the lock, and what a connection's thread is at cannot be cut off
    anyway: a second cancellation while the first is being obeyed leaves aiosqlite waiting for that thread for ever.
    """
    return None if engine.dialect.name == "sqlite" else seconds


class UnknownChainKey(RuntimeError):
    """The log's last record was made with a key that this process does not have: it must not append after it."""


class AuditStore:
    """The table of records.

    Its methods raise what SQLAlchemy and the driver raise: ``recorder.py`` and ``reader.py`` turn that into the one
    error that a caller is told.

    Args:
        engine: Of ``gateway.database``; whoever made it closes it.
        keys: The chain's.
        now: The clock, in UTC.
    """

    def __init__(
        self, engine: AsyncEngine, keys: KeyRing, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._engine = engine
        self._keys = keys
        self._now = now
        self._turn = asyncio.Lock()
        self._connection: AsyncConnection | None = None

    async def append(self, events: Sequence[AuditEvent]) -> list[Record]:
        """Put events on record, all or none; durable on return.

        Raises:
            UnfitEvent: One of them must not be recorded.
        """
        fields = [fields_of(event) for event in events]
        async with self.appending() as tail:
            records = tail.link(fields)
            await tail.insert(records)
        return records

    @asynccontextmanager
    async def appending(self) -> AsyncIterator[Tail]:
        """Hold the chain's end, alone among all processes, until the block is left; then commit.

        Whatever is raised in the block or by the commit, the connection is given up: nothing half done is left on it.
        """
        async with self._turn:
            connection = self._connection = self._connection or await self._engine.connect()
            try:
                transaction = transaction_on(connection)
                yield Tail(transaction, self._end(await transaction.begin()), self._keys.current, self._now)
                await transaction.commit()
            except BaseException:
                await self._drop()
                raise

    def _end(self, last: Row | None) -> Head:
        """The chain's end, of a chain that this process has the key to go on with."""
        if last is None:
            return EMPTY
        seq, hashed, body = last
        named = chain_key_of(body)
        if named and named not in self._keys.order:
            raise UnknownChainKey("the log was written with a key that is not set here")
        return Head(seq, hashed, public_digest(body.encode()))

    async def last_key(self) -> str | None:
        """ID of the key that the last record was made with; empty for one that names none, None without a record."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(HEAD)).one_or_none()
        return chain_key_of(row.body) if row else None

    async def head(self) -> Head:
        """The chain's end."""
        async with self._engine.connect() as connection:
            return await _head(connection)

    async def read(
        self, after_seq: int = 0, limit: int = 1000, filters: Filters | None = None, *, until: int = MAX_INTEGER
    ) -> list[Record]:
        """Records in the order of the chain, those after ``after_seq`` and up to ``until`` that match."""
        async with self._engine.connect() as connection:
            _, high = await bounds(connection, filters or Filters())
        records: list[Record] = []
        while len(records) < limit and after_seq < min(until, high - 1):
            some, after_seq = await self.read_on(after_seq, min(until, high - 1), limit - len(records), filters)
            records += some
        return records

    async def read_on(
        self, after_seq: int, until: int, limit: int, filters: Filters | None = None
    ) -> tuple[list[Record], int]:
        """The next records that match in one window of the log, and the number after which to go on."""
        async with self._searching() as connection:
            rows, reached = await oldest(connection, filters or Filters(), after_seq, until, limit)
        return [_record(row) for row in rows], reached

    @asynccontextmanager
    async def _searching(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose queries are planned for their values: a plan for any value takes no index of a few."""
        async with self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                await connection.execute(_CUSTOM_PLANS)
            yield connection

    async def range_of(self, filters: Filters) -> tuple[int, int]:
        """After which number the records that match begin, and the last number that they may have."""
        async with self._engine.connect() as connection:
            low, high = await bounds(connection, filters)
        return low, high - 1

    async def find(self, filters: Filters, cursor: int | None = None, limit: int = 100) -> Page:
        """The newest records that match; with ``cursor`` of the page before, those after it.

        Records that are added meanwhile do not shift the pages.
        """
        async with self._searching() as connection:
            rows, onward = await newest(connection, filters, cursor, limit)
        return Page(tuple(_record(row) for row in rows), onward)

    async def close(self) -> None:
        """Give up the connection that appends go over."""
        async with self._turn:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # A connection in doubt may fail at anything; nothing of it is used again.
            with suppress(Exception):
                await connection.invalidate()
            with suppress(Exception):
                await connection.close()


@dataclass(frozen=True, slots=True)
class Tail:
    """The chain's end, held: what may be done while no other process appends."""

    _transaction: Transaction
    head: Head
    _key: ChainKey
    _now: Callable[[], datetime]

    def link(self, events: Sequence[Mapping[str, Any]]) -> list[Record]:
        """The records that these events' fields become, once inserted."""
        records: list[Record] = []
        head, now = self.head, self._now()
        for fields in events:
            records.append(link(self._key, fields, head, now))
            head = records[-1].head
        return records

    async def insert(self, records: Sequence[Record]) -> None:
        """Add them; durable when the block is left."""
        await self._transaction.insert(records)

    async def holds(self, record: Record) -> bool:
        """Whether this very record is in the chain."""
        return await self._transaction.hash_of(record.seq) == record.hash


async def _head(connection: AsyncConnection) -> Head:
    row = (await connection.execute(HEAD)).one_or_none()
    return Head(row.seq, row.hash, public_digest(row.body.encode())) if row else EMPTY


def chain_key_of(body: str) -> str:
    """ID of the key that a record says it was made with; empty where it names none."""
    try:
        said = orjson.loads(body)
    except ValueError:
        return ""
    named = said.get("chain_key", "") if isinstance(said, dict) else ""
    return named if isinstance(named, str) else ""


def _record(row: SqlRow[int, str, str, str]) -> Record:
    try:
        fields = orjson.loads(row.body)
    except ValueError:
        fields = {}  # someone changed it; saying so is verification's part
    return Record(row.seq, row.body, row.prev, row.hash, fields)
