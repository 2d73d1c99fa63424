"""``cordon deid``: what the terminal shows. The progress bar goes to stderr, and only to a terminal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from gateway.batch.changes import Line
    from gateway.batch.outcome import Outcome, Status
    from gateway.batch.report import Totals

_SHOWN = 10
_STATUSES: dict[Status, str] = {
    "done": "de-identified",
    "before": "de-identified in an earlier run",
    "again": "same bytes as another input",
    "skipped": "no image, skipped",
    "failed": "failed",
}


class _Rate(ProgressColumn):
    """Files a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} files/s", style="cyan")


class Bar:
    """The progress of one run: a ``Watcher`` and a context manager. Shows nothing where there is no terminal."""

    def __init__(self, verb: str) -> None:
        self._failed = 0
        self._working = False
        self._verb = verb
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[failed]}", style="red"),
            console=(console := Console(stderr=True)),
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("Looking for images", total=None, failed="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def found(self, count: int) -> None:
        """So many inputs were found so far."""
        self._progress.update(self._task, completed=count)

    def began(self, count: int) -> None:
        """All inputs are found."""
        self._working = True
        self._progress.reset(self._task, total=count, description=self._verb)

    def noted(self, outcome: Outcome) -> None:
        """One input is through. Skipped ones are not in the total."""
        self._failed += outcome.status == "failed"
        said = f"{self._failed} failed" if self._failed else ""
        counts = self._working and outcome.status != "skipped"
        self._progress.update(self._task, advance=counts, failed=said)


def summary(console: Console, totals: Totals, seconds: float) -> None:
    """The table at the end."""
    if not totals.statuses.total():
        console.print("Nothing was found: no file that is not hidden.")
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for status, says in _STATUSES.items():
        if count := totals.statuses[status]:
            reasons = {"failed": totals.problems, "skipped": totals.skipped}.get(status, Counter[str]())
            why = _listed(reasons)
            style = "bold red" if status == "failed" else ""
            table.add_row(Text(str(count), style), Text(f"{says} ({why})" if why else says, style))
    if totals.actions:
        table.add_row(str(totals.actions.total()), f"attributes changed ({_listed(totals.actions)})")
    if totals.text_found:
        table.add_row(str(totals.text_found.total()), f"identifiers found in free text ({_listed(totals.text_found)})")
    if totals.frames_looked_at:
        table.add_row(str(totals.regions_masked), f"text regions masked in {totals.frames_looked_at} frames")
    console.print(table)
    done = totals.statuses["done"]
    if done and seconds:
        rate = done / seconds
        console.print(
            f"{seconds:.1f} s, {rate:.1f} files/s, {_bytes(totals.bytes_in)} in, {_bytes(totals.bytes_out)} out",
            highlight=False,
        )


def failures(console: Console, outcomes: Iterable[Outcome]) -> None:
    """The first failed inputs with their paths: for the operator's eyes, so only to a terminal."""
    failed = sorted((each for each in outcomes if each.status == "failed"), key=lambda each: each.shown)
    for each in failed[:_SHOWN]:
        path = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in each.shown)
        console.print(f"[red]✗[/red] {escape(path)}\n  {escape(each.reason)}", highlight=False, soft_wrap=True)
    if len(failed) > _SHOWN:
        console.print(f"  and {len(failed) - _SHOWN} more")


def changes(console: Console, lines: Iterable[Line]) -> None:
    """The table of a dry run."""
    table = Table(box=None, pad_edge=False)
    for title in ("TAG", "NAME", "VR", "ACTION", "FILES", "BEFORE", "AFTER"):
        table.add_column(title, justify="right" if title == "FILES" else "left", overflow="fold")
    for line in lines:
        if line.before.is_empty and line.after.is_empty:
            continue
        style = "dim" if line.action == "kept" else ""
        row = (line.tag, line.name, line.vr, line.action, str(line.files), str(line.before), str(line.after))
        table.add_row(*row, style=style)
    console.print(table)
    console.print(
        "Values are hidden: kind and length in characters; of numbers, bytes and sequence items their count.",
        style="dim",
    )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
