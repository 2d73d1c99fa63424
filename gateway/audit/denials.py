"""Step 7 of 7: refusals at the door, counted, so that no flood of strangers can fill the log.

Alike refusals within some seconds become one event with their number. Noting one costs no I/O; what is not written yet
is bounded in memory, and lost in a crash: at most one window's counts, of requests that were let do nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import structlog

from gateway.audit.events import AccessDenied
from gateway.errors import AuditUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.audit.recorder import Recorder

log = structlog.get_logger(__name__)

MANY = "many"
"""Actor of an event that counts refusals of more callers than are told apart."""

Kind = Literal["unauthenticated", "forbidden", "quota", "overload"]


@dataclass(frozen=True, slots=True)
class _Alike:
    kind: Kind
    reason: str
    actor: str
    tenant: str
    route: str
    address: str


@dataclass(slots=True)
class _Count:
    request_id: str
    number: int = 0


class DenialCounter:
    """Counts refusals, and records the counts once a window.

    Args:
        recorder: Where to.
        seconds: Length of a window.
        groups: Most groups told apart in one window. What comes beyond them is counted by kind alone.
        told: Told of each refusal at once: its kind and reason.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        seconds: int = 10,
        groups: int = 64,
        told: Callable[[Kind, str], None] = lambda _kind, _reason: None,
    ) -> None:
        self._recorder = recorder
        self._seconds = seconds
        self._groups = groups
        self._told = told
        self._counts: dict[_Alike, _Count] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to record."""
        self._task = asyncio.create_task(self._run(), name="audit-denials")

    def note(
        self, kind: Kind, reason: str, *, request_id: str, route: str, address: str, actor: str, tenant: str = ""
    ) -> None:
        """One request was refused.

        Args:
            kind: What was missing: a good credential, the scope, room in a window, or time before too long a queue.
            reason: Code of why, from a list of ours.
            request_id: Correlation ID.
            route: The route's template.
            address: The peer's.
            actor: Key ID, or ``events.ANONYMOUS``.
            tenant: The actor's.
        """
        self._told(kind, reason)
        self._add(_Alike(kind, reason, actor, tenant, route, address), request_id, 1)

    async def close(self) -> None:
        """Record what was counted, stop. The recorder must be open still."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        await self._flush()
        if self._counts:
            log.error("audit.denials_lost", refusals=sum(count.number for count in self._counts.values()))

    def _add(self, alike: _Alike, request_id: str, number: int) -> None:
        if alike not in self._counts and len(self._counts) >= self._groups:
            alike = _Alike(alike.kind, MANY, MANY, "", "", "")
        self._counts.setdefault(alike, _Count(request_id)).number += number

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            # Shielded: a window that is being written when close() comes is written to its end.
            await asyncio.shield(self._flush())

    async def _flush(self) -> None:
        counts, self._counts = self._counts, {}
        await asyncio.gather(*(self._record(alike, count) for alike, count in counts.items()))

    async def _record(self, alike: _Alike, count: _Count) -> None:
        event = AccessDenied(
            request_id=count.request_id,
            actor=alike.actor,
            tenant=alike.tenant,
            kind=alike.kind,
            reason=alike.reason,
            route=alike.route,
            address=alike.address,
            count=count.number,
            seconds=self._seconds,
        )
        try:
            await self._recorder.record(event)
        except AuditUnavailable:
            with suppress(KeyError):
                self._add(alike, count.request_id, count.number)  # with the next window
