"""The batch tool: a whole run, from the paths that were named to the totals."""

from __future__ import annotations

import csv
import os
import resource
from dataclasses import dataclass, field
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import anyio.from_thread
import anyio.to_thread

from gateway.batch.changes import Changes
from gateway.batch.drive import InFlight, drive
from gateway.batch.errors import CannotStart, NotTaken
from gateway.batch.items import Item, Refusal
from gateway.batch.outcome import Outcome
from gateway.batch.outputs import Outputs, check_apart
from gateway.batch.preview import preview
from gateway.batch.report import Totals, document, file_line
from gateway.batch.run import Means, Sanitizer
from gateway.batch.sources import Sources
from gateway.batch.work import prepare, references
from gateway.batch.zips import Archives
from gateway.errors import GatewayError
from gateway.isolation import WorkerDefect, Workers

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.batch.journal import Terms
    from gateway.batch.marks import Marks
    from gateway.settings import DeidSettings, IngestSettings

IN_FLIGHT_BYTES = min(2 * 2**30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)
_COPIES = 4
"""A file's bytes are held this many times in a worker at most: as they came, decoded, masked, written."""


class Watcher(Protocol):
    """Is told how a run goes on."""

    def found(self, count: int) -> None:
        """So many inputs were found so far."""

    def began(self, count: int) -> None:
        """All inputs are found; the work begins."""

    def noted(self, outcome: Outcome) -> None:
        """One input is through."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        paths: Files, folders, zips, DICOMDIRs.
        deid: Policy and key.
        limits: Bounds on one file; also how many workers, and how long one file may take.
        tenant: Whose stand-ins are made.
        terms: What all outputs share.
        marks: Stand for inputs.
    """

    paths: tuple[Path, ...]
    deid: DeidSettings
    limits: IngestSettings
    tenant: str
    terms: Terms
    marks: Marks


@dataclass(slots=True)
class Job:
    """One run, and what is known of it so far, also when it was interrupted.

    Attributes:
        plan: What to do.
        watcher: Is told of each step.
        keep_files: Whether each input's line is kept for the report.
        totals: Counts.
        changes: What happens by attribute; of a dry run.
        files: Inputs' lines for the report.
        listed: Inputs that failed or were skipped.
        seconds: How long the work took.
        whole: Every input was handled.
    """

    plan: Plan
    watcher: Watcher
    keep_files: bool = False
    totals: Totals = field(default_factory=Totals)
    changes: Changes = field(default_factory=Changes)
    files: list[dict[str, Any]] = field(default_factory=list)
    listed: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    whole: bool = False

    async def sanitize(self, folder: Path) -> None:
        """De-identify all inputs into ``folder``.

        Raises:
            CannotStart: The folder cannot take them, or the policy was changed meanwhile.
        """
        check_apart(folder, self.plan.paths)
        with Outputs.open(folder, self.plan.terms) as outputs:
            means = self._means()
            sanitizer = Sanitizer(means, outputs, policy_digest=self.plan.terms.policy_digest)
            await self._all(means, sanitizer.one)

    async def preview(self) -> None:
        """See what would happen to all inputs. Nothing is written."""
        means = self._means()

        async def one(item: Item) -> Outcome:
            mark = means.marks.input(item.identity)
            try:
                async with means.in_flight.hold(item.size):
                    previewed = await means.workers.run(preview, means.task(await means.read(item)))
            except (GatewayError, WorkerDefect, OSError, NotTaken) as error:
                await means.replace_worker(error)
                return Outcome.of_error(item.shown, mark, item.size, error)
            self.changes.add(previewed.changes)
            self.totals.add_report(previewed.report.as_json(), item.size, previewed.size)
            return Outcome(item.shown, mark, "done", item.size)

        await self._all(means, one)

    def document(self) -> dict[str, Any]:
        """The JSON report so far."""
        return document(self.plan.terms, self.totals, self.files, seconds=self.seconds, whole=self.whole)

    async def _all(self, means: Means, one: Any) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # this process holds identifying bytes too
        items = await self._find(means)
        try:
            await means.workers.warm(prepare, means.task(b""), len(items))
        except (GatewayError, WorkerDefect) as error:
            raise CannotStart(f"The worker processes cannot be started: {error}") from None
        self.watcher.began(len(items))
        began = monotonic()
        try:
            # Twice as many lanes as workers: while one input is worked on, the next is read or the last is written.
            await drive(items, one, self._note, 2 * means.workers.size)
            self.whole = True
        finally:
            self.seconds = monotonic() - began
            means.archives.close()

    async def _find(self, means: Means) -> list[Item]:
        stopped = Event()

        def look() -> list[Item | Refusal]:
            def parse(data: bytes) -> list[tuple[str, ...]]:
                return anyio.from_thread.run(means.workers.run, references, data)

            found: list[Item | Refusal] = []
            for each in Sources(means.archives, parse, means.largest).find(self.plan.paths):
                found.append(each)
                if stopped.is_set():
                    break
                if not len(found) % 256:
                    self.watcher.found(len(found))
            return found

        try:
            found = await anyio.to_thread.run_sync(look, abandon_on_cancel=True)
        finally:
            stopped.set()
        for each in found:
            if isinstance(each, Refusal):
                mark = means.marks.input(os.fsencode(each.shown))
                self._note(Outcome.of_error(each.shown, mark, 0, each.why))
        return [each for each in found if isinstance(each, Item)]

    def _note(self, outcome: Outcome) -> None:
        self.totals.add(outcome)
        if outcome.status in {"failed", "skipped"}:
            self.listed.append(outcome)
        if self.keep_files:
            self.files.append(file_line(outcome))
        self.watcher.noted(outcome)

    def _means(self) -> Means:
        plan = self.plan
        return Means(
            workers=Workers(plan.limits),
            archives=Archives(),
            in_flight=InFlight(IN_FLIGHT_BYTES),
            marks=plan.marks,
            tenant=plan.tenant,
            limits=plan.limits,
            deid=plan.deid,
            largest=largest_file(plan.limits),
        )


def largest_file(limits: IngestSettings) -> int:
    """Most bytes that one file may have, by the memory that a worker may take."""
    return limits.worker_memory_bytes // _COPIES


def write_list(path: Path, outcomes: list[Outcome]) -> None:
    """Write the inputs that failed or were skipped, with their paths, as CSV that only its owner can read.

    Raises:
        OSError: It cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("outcome", "problem", "reason", "id", "path"))
        for each in sorted(outcomes, key=lambda outcome: (outcome.status, outcome.shown)):
            rows.writerow((each.status, each.problem, each.reason, each.mark, each.shown))
