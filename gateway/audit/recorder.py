"""Step 7 of 7: puts events on record, durably, many in one transaction.

One task writes. It waits for the first event, takes the chain's end, and only then empties the queue into one
transaction: while the disk is busy with one batch, the next gathers. An event's fate is always one of these:

    record() returns                 it is on record, durably, once
    record() raises AuditUnavailable it is not on record and never will be; or, if the store had been asked to commit it
                                     and did not answer in time, it is there once or not at all. Never twice.
    the caller is cancelled          it is written as if the caller still waited, however long the store is away;
                                     what close() cannot write is counted in the log

A commit whose answer was lost is looked up, not guessed: the next transaction asks, holding the chain's end, whether
the very record (number and hash) is there. If not, what is still waited for is linked anew.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway.audit.chain import EMPTY
from gateway.audit.events import SYSTEM, ChainKeyChanged, fields_of
from gateway.audit.keys import KeyRing
from gateway.audit.sealer import Sealer
from gateway.audit.store import AuditStore, patience
from gateway.errors import AuditUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from gateway.audit.chain import Record
    from gateway.audit.events import AuditEvent
    from gateway.audit.store import Tail
    from gateway.settings import AuditSettings

log = structlog.get_logger(__name__)

MAX_BATCH = 1000
"""Most events of one transaction: it bounds how long one process holds the chain's end."""
_LAST_TRY_SECONDS = 5.0  # for a transaction that is under way when the time is up
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.02, 0.5


@dataclass(eq=False, slots=True)
class _Entry:
    """An event on its way. ``fields`` is None for a ping, which goes the whole way but for the insert."""

    fields: Mapping[str, Any] | None
    done: asyncio.Future[None]
    since: float
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A batch that the store was asked to keep and has not confirmed."""

    batch: Sequence[_Entry]
    records: Sequence[Record]


class Recorder:
    """The one way onto the record for the whole process.

    Args:
        engine: Of ``gateway.database``; whoever made it closes it.
        settings: The chain's key, the time limit, the checkpoints.
    """

    def __init__(self, engine: AsyncEngine, settings: AuditSettings) -> None:
        self._keys = KeyRing.of(settings)
        self._hashes_addresses = settings.address == "hash"
        self._store = AuditStore(engine, self._keys)
        self._sealer = Sealer(engine, settings)
        self._timeout = settings.timeout_seconds
        self._room = settings.queue_size
        self._queue: dict[_Entry, None] = {}  # ordered, and an entry can be taken out at once
        self._doubt: _Doubt | None = None
        self._head = EMPTY
        self._wake = asyncio.Event()
        self._open = False
        self._stop_at = 0.0
        self._patience = patience(engine, 2 * self._timeout)
        self._writer: asyncio.Task[None] | None = None

    @property
    def backlog(self) -> tuple[int, float]:
        """How many events are not durable yet, and for how many seconds the oldest of them has waited."""
        waiting = [*(self._doubt.batch if self._doubt else ()), *self._queue]
        since = min((entry.since for entry in waiting), default=None)
        return len(waiting), 0.0 if since is None else asyncio.get_running_loop().time() - since

    @property
    def sealed(self) -> tuple[float, float]:
        """See ``Sealer.sealed``."""
        return self._sealer.sealed

    async def start(self) -> None:
        """Begin to write.

        Raises:
            AuditUnavailable: The store cannot be appended to.
        """
        self._open = True
        self._writer = asyncio.create_task(self._write(), name="audit-writer")
        self._sealer.start()
        try:
            await self.ping()
            await self._say_key_changed()
        except BaseException:
            await self.close()
            raise

    async def record(self, event: AuditEvent) -> None:
        """Put an event on record; durable on return.

        Raises:
            AuditUnavailable: It could not be, in time. See the module for what that means for the event.
            UnfitEvent: It must not be: a defect of the code that made it.
        """
        await self.begin(event)

    def begin(self, event: AuditEvent) -> asyncio.Future[None]:
        """The same without waiting: what is returned says when it is durable, or raises AuditUnavailable.

        For work that may go on meanwhile; a task of its own would cost as much as the waiting. It has to be awaited.
        """
        fields = fields_of(event)
        if self._hashes_addresses and fields.get("address"):
            fields["address"] = self._keys.pseudonym_of_address(fields["address"])
        return self._enqueue(fields)

    async def ping(self) -> None:
        """Go the whole way of an event, through the queue and the store's write lock, and put nothing on record.

        Raises:
            AuditUnavailable: The store cannot be appended to.
        """
        await self._enqueue(None)

    async def close(self) -> None:
        """Take no more, write for as long as a record may take what waits, stop."""
        self._open = False
        self._stop_at = asyncio.get_running_loop().time() + self._timeout
        self._wake.set()
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=self._timeout + _LAST_TRY_SECONDS)
            self._writer.cancel()
            self._writer = None
        self._fail_the_rest()
        await self._sealer.close()
        await self._store.close()

    async def _say_key_changed(self) -> None:
        try:
            before = await self._store.last_key()
        except (SQLAlchemyError, OSError):
            raise _unavailable() from None
        if before is not None and before != self._keys.current.id:
            await self.record(ChainKeyChanged("", SYSTEM, "", previous=before, current=self._keys.current.id))

    def _enqueue(self, fields: Mapping[str, Any] | None) -> asyncio.Future[None]:
        if not self._open:
            raise AuditUnavailable("The audit log is not open")
        if len(self._queue) >= self._room:
            raise AuditUnavailable("Too many events wait for the audit store", retry_after=1.0)
        loop = asyncio.get_running_loop()
        entry = _Entry(fields, loop.create_future(), loop.time())
        self._queue[entry] = None
        self._wake.set()
        timer = loop.call_later(self._timeout, self._give_up, entry)
        # Also where its caller is cancelled, which cancels the future: the entry stays, and is written.
        entry.done.add_done_callback(lambda _: timer.cancel())
        return entry.done

    def _give_up(self, entry: _Entry) -> None:
        if not entry.done.done():
            entry.given_up = True
            self._queue.pop(entry, None)
            entry.done.set_exception(_unavailable())

    async def _write(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while self._open or self._may_flush():
            if not self._queue and self._doubt is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                # Those who wait have their own time limit; this one is for a connection that hangs for good.
                async with asyncio.timeout(self._patience):
                    await self._append()
            except Exception as error:  # noqa: BLE001 - whatever it is, the writer must live; a retry loses nothing
                if pause == _FIRST_PAUSE_SECONDS:
                    self._say_failed(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            else:
                if pause != _FIRST_PAUSE_SECONDS:
                    log.info("audit.store_recovered")
                pause = _FIRST_PAUSE_SECONDS

    def _may_flush(self) -> bool:
        waiting = bool(self._queue) or self._doubt is not None
        return waiting and asyncio.get_running_loop().time() < self._stop_at

    def _say_failed(self, error: Exception) -> None:
        log.error("audit.store_failed", error=_named(error), waiting=len(self._queue))

    async def _append(self) -> None:
        async with self._store.appending() as tail:
            await self._resolve(tail)
            if tail.head.seq < self._head.seq:
                log.error("audit.tail_missing", stored=tail.head.seq, written=self._head.seq)
                self._sealer.keep(self._head)  # signed evidence that there was more
            batch = self._take()
            events = [entry.fields for entry in batch if entry.fields is not None]
            records = tail.link(events)
            self._doubt = _Doubt(batch, records)
            await tail.insert(records)
        self._confirm()

    async def _resolve(self, tail: Tail) -> None:
        if self._doubt is None:
            return
        if self._doubt.records and await tail.holds(self._doubt.records[-1]):
            self._confirm()
            return
        again = [entry for entry in self._doubt.batch if not entry.given_up]
        self._queue = dict.fromkeys([*again, *self._queue])
        self._doubt = None

    def _take(self) -> list[_Entry]:
        batch = list(islice(self._queue, MAX_BATCH))
        for entry in batch:
            del self._queue[entry]
        return batch

    def _confirm(self) -> None:
        assert self._doubt is not None
        doubt, self._doubt = self._doubt, None
        if doubt.records:
            self._head = doubt.records[-1].head
            self._sealer.note(self._head)
        for entry in doubt.batch:
            if not entry.done.done():
                entry.done.set_result(None)

    def _fail_the_rest(self) -> None:
        doubtful = list(self._doubt.batch) if self._doubt else []
        rest = [entry for entry in [*doubtful, *self._queue] if not entry.given_up]
        lost = sum(entry.fields is not None for entry in rest)
        if lost:
            log.error("audit.lost", events=lost, of_these_in_doubt=len(doubtful))
        for entry in rest:
            if not entry.done.done():
                entry.done.set_exception(_unavailable())
                entry.done.exception()  # looked at: nobody may be waiting any more
        self._queue.clear()
        self._doubt = None


def _unavailable() -> AuditUnavailable:
    return AuditUnavailable("The audit store did not confirm the record in time")


def _named(error: Exception) -> str:
    """The error's type and the database's code for it. Never its text: that holds the statement's values."""
    original = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__
