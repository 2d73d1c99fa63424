"""Step 1 of 7: usage by key and day, counted in the process and added to SQL about once a second.

    request ends ─▶ note: some additions in memory ─▶ every second: one batch ─▶ SQL adds it to what others counted

Counting costs a request no I/O. A batch is written wholly or not at all, and one that may have been written is sent
again under the same number, so nothing is counted twice. While the database is away the counts stay here, in bounded
memory, and go with a later batch. A process that is killed loses what it has not written: at most the requests of the
last ``seconds``, or of all the time that the database was away.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from array import array
from bisect import bisect_left
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from gateway.admission.usage_tables import COUNTS, LATENCY_MS, MEASURES
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admission.usage_store import UsageStore

log = structlog.get_logger(__name__)

ANONYMOUS = "anonymous"
"""Key ID of the row of all whose credential was not good; it has no tenant."""
MANY = "many"
"""Key ID of the row of all keys beyond those that are told apart while the database is away; it has no tenant."""

_PLACE = {name: place for place, name in enumerate(COUNTS)}
_DENIALS = {
    "unauthenticated": _PLACE["denied_credential"],
    "forbidden": _PLACE["denied_scope"],
    "suspended": _PLACE["denied_switch"],
    "switched-off": _PLACE["denied_switch"],
    "quota-exceeded": _PLACE["denied_limit"],
}
_REQUESTS, _FRAMES, _BYTES, _LATENCY = (_PLACE[name] for name in ("requests", "frames", "bytes_in", "latency_us"))
_SUCCEEDED, _CALLER, _SERVER = (_PLACE[name] for name in ("succeeded", "caller_errors", "server_errors"))
_BUCKETS = len(COUNTS)
_EMPTY = bytes(8 * len(MEASURES))
_DAY_SECONDS = 86_400
_LONGEST_NAME = 64  # what a column holds: a batch that never fits would hold up all after it
_EPOCH = date(1970, 1, 1)

Tallies = dict[tuple[int, str, str], "array[int]"]
"""Day (since 1970-01-01, UTC), tenant and key ID to the measures, in the order of ``MEASURES``."""


class UsageCounter:
    """Counts requests, and adds the counts to the store.

    Args:
        store: Where to.
        seconds: How often.
        keep_days: Rows that are older are removed.
        most: Keys and days told apart in memory; beyond them all go into the row ``MANY``.
        now: The clock, seconds since the epoch.
    """

    def __init__(
        self,
        store: UsageStore,
        *,
        seconds: float,
        keep_days: int,
        most: int = 10_000,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._seconds = seconds
        self._keep_days = keep_days
        self._most = most
        self._now = now
        self._tallies: Tallies = {}
        self._batch: Tallies = {}
        self._number = 0
        self._writer = secrets.token_hex(16)
        self._writing = asyncio.Lock()
        self._pruned: date | None = None
        self._away = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run(), name="usage")

    def note(
        self, key_id: str, tenant: str, *, status: int, problem: str, frames: int, bytes_in: int, seconds: float
    ) -> None:
        """One request has ended.

        Args:
            key_id: Public ID of the caller's credential, or ``ANONYMOUS``.
            tenant: The caller's.
            status: Of the answer; 499 where the caller had left.
            problem: Slug of the problem that was answered; empty for a success.
            frames: Images of it that were classified or given back.
            bytes_in: Of its body, as far as it was read.
            seconds: From its head to the end of its answer. Counted unless it was denied: denials are quick.
        """
        place = (int(self._now()) // _DAY_SECONDS, tenant, key_id)
        tally = self._tallies.get(place)
        if tally is None:
            if len(self._tallies) >= self._most:
                place = (place[0], "", MANY)
            tally = self._tallies.setdefault(place, array("q", _EMPTY))
        tally[_REQUESTS] += 1
        tally[_FRAMES] += frames
        tally[_BYTES] += bytes_in
        denial = _DENIALS.get(problem)
        if denial is not None:
            tally[denial] += 1
            return
        tally[_SUCCEEDED if status < 400 else _CALLER if status < 500 else _SERVER] += 1
        tally[_LATENCY] += int(seconds * 1_000_000)
        tally[_BUCKETS + bisect_left(LATENCY_MS, seconds * 1000)] += 1

    async def flush(self) -> None:
        """Write what was counted up to now.

        Raises:
            StoreUnavailable: It stays in memory and goes with the next flush.
        """
        async with self._writing:
            await self._write()  # one that failed before
            if self._tallies:
                self._batch, self._tallies = self._tallies, {}
                self._number += 1
                await self._write()

    async def _write(self) -> None:
        if self._batch:
            rows = [
                (_EPOCH + timedelta(day), *(name[:_LONGEST_NAME] for name in who), *tally)
                for (day, *who), tally in self._batch.items()
            ]
            await self._store.add(self._writer, self._number, rows)
            self._batch = {}

    async def close(self) -> None:
        """Write what was counted, stop. The database must be open still."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        try:
            await self.flush()
        except GatewayError:
            lost = sum(tally[_REQUESTS] for tallies in (self._batch, self._tallies) for tally in tallies.values())
            log.exception("usage.lost", requests=lost)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            # Shielded: a batch that is being written when close() comes is written to its end.
            await asyncio.shield(self._turn())

    async def _turn(self) -> None:
        try:
            await self.flush()
            await self._prune()
        except GatewayError:
            if not self._away:
                log.warning("usage.store-away")
            self._away = True
        except Exception:
            log.exception("usage.defect")  # counting goes on: the next turn tries again
        else:
            self._away = False

    async def _prune(self) -> None:
        """Once a day, and at the start."""
        today = datetime.fromtimestamp(self._now(), UTC).date()
        if self._pruned != today:
            await self._store.remove_before(today - timedelta(days=self._keep_days))
            self._pruned = today
