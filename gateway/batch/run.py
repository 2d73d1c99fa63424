"""The batch tool: one input from its bytes to its output."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.batch.errors import CannotStart, NotTaken
from gateway.batch.names import output_name
from gateway.batch.outcome import Outcome
from gateway.batch.work import Sanitized, Task, prepare, sanitize
from gateway.errors import GatewayError, TooCostly, UnsafeFile
from gateway.isolation import WorkerDefect

if TYPE_CHECKING:
    from gateway.batch.drive import InFlight
    from gateway.batch.items import Item
    from gateway.batch.journal import Entry
    from gateway.batch.marks import Marks
    from gateway.batch.outputs import Outputs
    from gateway.batch.zips import Archives
    from gateway.isolation import Workers
    from gateway.settings import DeidSettings, IngestSettings


@dataclass(frozen=True, slots=True)
class Means:
    """What every input needs.

    Attributes:
        workers: Processes that steps 2 and 3 run in.
        archives: Opens zips.
        in_flight: Bounds the bytes in memory.
        marks: Stand for inputs.
        tenant: Whose stand-ins are made.
        limits: Bounds on one file.
        deid: Policy and key.
        largest: Most bytes that one file may have.
    """

    workers: Workers
    archives: Archives
    in_flight: InFlight
    marks: Marks
    tenant: str
    limits: IngestSettings
    deid: DeidSettings
    largest: int

    def task(self, data: bytes) -> Task:
        """The bytes, with what a worker needs besides."""
        return Task(data, self.tenant, self.limits, self.deid, os.getpid())

    async def replace_worker(self, error: Exception) -> None:
        """If a file may have cost its worker its life: start the next one now, not in the time of the next file."""
        if isinstance(error, TooCostly | UnsafeFile):
            with suppress(GatewayError, WorkerDefect):  # then the next file tells
                await self.workers.warm(prepare, self.task(b""), 1)

    async def read(self, item: Item) -> bytes:
        """The item's bytes, read in a thread.

        Raises:
            NotTaken: See ``Item.read``.
        """
        return await asyncio.to_thread(item.read, self.archives, self.largest)


class Sanitizer:
    """De-identifies input after input into an output folder.

    Args:
        means: See there.
        outputs: The open output folder.
        policy_digest: Of the policy that the run began with.
    """

    def __init__(self, means: Means, outputs: Outputs, *, policy_digest: str) -> None:
        self._means = means
        self._outputs = outputs
        self._policy_digest = policy_digest
        self._one_at_a_time = asyncio.Lock()

    async def one(self, item: Item) -> Outcome:
        """De-identify one input, unless it is done.

        Raises:
            CannotStart: The policy's file was changed while the run went on.
        """
        mark = self._means.marks.input(item.identity)
        if entry := self._outputs.done.get(mark):
            return Outcome(item.shown, mark, "again" if entry.again else "before", item.size, entry=entry)
        try:
            async with self._means.in_flight.hold(item.size):
                return await self._work(item, mark)
        except (GatewayError, WorkerDefect, OSError, NotTaken) as error:
            await self._means.replace_worker(error)
            return Outcome.of_error(item.shown, mark, item.size, error)

    async def _work(self, item: Item, mark: str) -> Outcome:
        data = await self._means.read(item)
        content = await asyncio.to_thread(self._means.marks.content, data)
        if same := self._outputs.with_content(content):
            entry = self._outputs.note_again(mark, same)
            return Outcome(item.shown, mark, "again", item.size, entry=entry)
        sanitized = await self._means.workers.run(sanitize, self._means.task(data))
        if sanitized.report.policy_digest != self._policy_digest:
            raise CannotStart("The policy was changed while the run went on: start it anew, into another folder")
        try:
            entry = await self._keep(mark, content, sanitized)
        except OSError as error:
            raise NotTaken.not_written(error) from None
        return Outcome(item.shown, mark, "again" if entry.again else "done", item.size, entry=entry)

    async def _keep(self, mark: str, content: str, sanitized: Sanitized) -> Entry:
        base = output_name(sanitized.names, sanitized.media_type, content)
        aside = await asyncio.to_thread(self._outputs.write_aside, sanitized.data)
        async with self._one_at_a_time:
            return self._outputs.settle(
                aside, sanitized.data, mark=mark, content=content, base=base, report=sanitized.report.as_json()
            )
