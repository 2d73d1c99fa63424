"""Step 7 of 7: how a part works while what it needs is away, put on record without keeping the part waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import structlog

from gateway.audit.events import SYSTEM, FailureModeChanged
from gateway.errors import AuditUnavailable

if TYPE_CHECKING:
    from gateway.audit.recorder import Recorder

log = structlog.get_logger(__name__)

Part = Literal["limiter"]
Mode = Literal["normal", "local", "closed", "open"]
_WAITING = 100
"""Changes that wait for the store at once; beyond them, they are in the log alone."""


class FailureModes:
    """Remembers how each part works, and records what changes.

    Args:
        recorder: Where to.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._modes: dict[Part, Mode] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def change(self, part: Part, mode: Mode) -> None:
        """The part works so from now on. Costs no I/O; does nothing where it did before."""
        previous = self._modes.get(part, "normal")
        if mode == previous:
            return
        self._modes[part] = mode
        if len(self._tasks) >= _WAITING:
            log.error("audit.failure_mode_lost", part=part, mode=mode)
            return
        task = asyncio.create_task(self._record(FailureModeChanged("", SYSTEM, "", part, mode, previous)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for what is on its way. The recorder must be open still."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _record(self, event: FailureModeChanged) -> None:
        try:
            await self._recorder.record(event)
        except AuditUnavailable:
            log.error("audit.failure_mode_lost", part=event.part, mode=event.mode)  # noqa: TRY400 - nothing to add
