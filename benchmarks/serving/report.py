"""Where the figures go: docs/performance.md, each benchmark's between marks of its own.

A benchmark replaces what stands between its marks and leaves the rest. With each stand the command, the day, the
machine, and how busy the machine was before: a figure without them is none.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.serving import plots
from benchmarks.serving.stats import machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

console = Console(width=118)


def busy() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]


@dataclass(slots=True)
class Report:
    """One benchmark's part of the document, and of the terminal.

    Attributes:
        mark: Names it in the document.
        docs: The folder of the document; None: nothing is written.
    """

    mark: str
    docs: Path | None = DOCS
    _text: list[str] = field(default_factory=list)
    _load: float = field(default_factory=busy)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table, and keep it as Markdown. The first column is text, the others are figures."""
        shown = Table(title=title, box=None, title_justify="left", padding=(0, 2, 0, 0))
        for number, column in enumerate(columns):
            shown.add_column(column, justify="right" if number else "left")
        for row in rows:
            shown.add_row(*row)
        console.print(shown)
        console.print()
        self._text += [f"**{title}**", "", f"| {' | '.join(columns)} |", "|---" + "|---:" * (len(columns) - 1) + "|"]
        self._text += [f"| {' | '.join(row)} |" for row in rows]
        self._text.append("")

    def line(self, text: str) -> None:
        """A sentence."""
        console.print(text, soft_wrap=True, highlight=False)
        self._text += [text, ""]

    def plot(self, figure: Figure, name: str, what: str) -> None:
        """A picture beside the document, in ``performance/``."""
        if self.docs is not None:
            plots.save(figure, self.docs / "performance", name)
            self._text += [f"![{what}](performance/{name})", ""]

    def write(self) -> None:
        """Into the document, in place of what the last run wrote there."""
        if self.docs is None:
            return
        day = dt.datetime.now(dt.UTC).date().isoformat()
        command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
        said = f"`{command}`, {day}, {machine()}; load average before: {self._load:.1f}"
        between = "\n".join([said, "", *self._text]).rstrip()
        document = self.docs / "performance.md"
        document.write_text(placed(document.read_text(encoding="utf-8"), self.mark, between), encoding="utf-8")
        console.print(f"Written to {os.path.relpath(document)}, mark {self.mark}.")


def placed(text: str, mark: str, between: str) -> str:
    """A document with other text between a mark's two comments. Raises ValueError if they are not there, once each."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the document has no place for {mark}: {begin} and {end}, once each")
    before, rest = text.split(begin)
    return f"{before}{begin}\n{between}\n{end}{rest.split(end)[1]}"


def progress() -> Progress:
    """A bar of what is left to do."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """What all serving benchmarks take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs, for a first look")
    parser.add_argument(
        "--no-write", dest="docs", action="store_const", const=None, default=DOCS, help="print; leave docs/ as it is"
    )
    return parser


def milliseconds(value: float) -> str:
    """With a tenth where that says something; a dash for none."""
    return "-" if math.isnan(value) else f"{value:.1f}" if value < 100 else f"{value:,.0f}"
