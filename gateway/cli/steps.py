"""The command line: one line for each slow step, with a spinner while it runs and its time when it is done."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


@contextmanager
def step(console: Console, doing: str, done: str) -> Iterator[None]:
    """Show ``doing`` while the block runs, then ``done`` and the seconds it took."""
    began = time.monotonic()
    with console.status(doing):
        yield
    console.print(f"[green]✓[/green] {done} [dim]{time.monotonic() - began:.1f} s[/dim]", highlight=False)
