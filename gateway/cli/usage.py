"""``cordon usage``: who used how much, by day and by key, at the machine that has the database."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.admission.usage import ANONYMOUS
from gateway.admission.usage_report import UsageDay, csv_text, together
from gateway.admission.usage_store import Asked, UsageStore
from gateway.cli.database import database, run
from gateway.cli.errors import fail

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(add_completion=False)

_BAR_WIDTH = 40
_SPARKS = "▁▂▃▄▅▆▇█"
_MOST_DAYS = 92
_SPARK_DAYS = 28
_WIDE = 120  # columns of a terminal
_PARTS = (
    ("█", "succeeded", "green"),
    ("▒", "denied", "yellow"),
    ("▓", "other errors of callers", "cyan"),
    ("░", "errors of ours", "red"),
)


def _day(text: str) -> date:
    """A day, or how many days ago."""
    if match := re.fullmatch(r"(\d{1,4})d", text):
        return datetime.now(UTC).date() - timedelta(days=int(match[1]))
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write a day, or how many days ago: 2026-01-31, 30d") from None


@app.command(
    epilog="Examples:\n\ncordon usage\n\ncordon usage --key key_7Hq2mXc9RtLa --from 90d\n\n"
    "cordon usage --from 2026-01-01 --to 2026-01-31 --csv > january.csv"
)
def usage(  # noqa: PLR0917 - typer reads options from the signature
    key: Annotated[str | None, typer.Option(metavar="KEY_ID", help="Only of this key")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only of this organisation")] = None,
    first: Annotated[
        date | None, typer.Option("--from", parser=_day, metavar="DAY", help="First day, in UTC, or 30d; default: 13d")
    ] = None,
    last: Annotated[
        date | None, typer.Option("--to", parser=_day, metavar="DAY", help="Last day, in UTC; default: today")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets: a row a key and day")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a line a key and day")] = False,
) -> None:
    """Show usage: requests, denials, images, latency, by day and by key. About a second behind.

    Needs DATABASE_URL, as the gateway does.
    """
    last = last or datetime.now(UTC).date()
    first = first or last - timedelta(days=13)
    if last < first:
        raise fail("--from must not be after --to")
    asked = Asked(first, last, tenant, key)
    if as_csv or as_json:
        run(_write(asked, as_csv=as_csv))
        return
    rows, owners = run(_read(asked))
    if not rows:
        typer.echo("Nothing was used in these days.", err=True)
        return
    console = Console(markup=False, highlight=False)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    _show_days(console, rows, days[-_MOST_DAYS:])
    console.print()
    _show_keys(console, rows, days[-_MOST_DAYS:], owners)


async def _write(asked: Asked, *, as_csv: bool) -> None:
    async with database() as engine:
        if as_csv:
            typer.echo(csv_text((), head=True), nl=False)
        async for page in UsageStore(engine).walk(asked):
            lines = csv_text(page) if as_csv else "".join(f"{json.dumps(row.as_json(), default=str)}\n" for row in page)
            typer.echo(lines, nl=False)


async def _read(asked: Asked) -> tuple[list[UsageDay], dict[str, str]]:
    async with database() as engine:
        store = UsageStore(engine)
        return [row async for page in store.walk(asked) for row in page], await store.owners()


def _show_days(console: Console, rows: Sequence[UsageDay], days: Sequence[date]) -> None:
    """A bar a day, made of how its requests ended."""
    by_day = defaultdict(list)
    for row in rows:
        by_day[row.day].append(row)
    totals = {day: together(by_day[day]) for day in days}
    most = max((total.requests for total in totals.values() if total), default=0) or 1
    width = len(f"{most:,}")
    for day, total in totals.items():
        line = Text(f"{day}  {total.requests if total else 0:>{width},}  ")
        if total is not None:
            for (glyph, _, style), share in zip(_PARTS, _shares(total, most), strict=True):
                line.append(glyph * share, style)
        console.print(line, no_wrap=True, overflow="crop")
    legend = Text(" " * (width + 14))
    for glyph, name, style in _PARTS:
        legend.append(f"{glyph} ", style).append(f"{name}   ")
    console.print(legend, no_wrap=True, overflow="crop")


def _shares(total: UsageDay, most: int) -> list[int]:
    """Cells of the bar: succeeded, denied, the callers' other errors, ours. What there is has one cell at least."""
    parts = (total.succeeded, total.denied, total.caller_errors, total.server_errors)
    return [max(1, round(part / most * _BAR_WIDTH)) if part else 0 for part in parts]


def _show_keys(console: Console, rows: Sequence[UsageDay], days: Sequence[date], owners: dict[str, str]) -> None:
    """A row a key, those that came most often first. What a narrow terminal has no room for is left out."""
    wide = console.width >= _WIDE
    by_key = defaultdict(list)
    for row in rows:
        by_key[row.tenant, row.key_id].append(row)
    table = Table(box=None, pad_edge=False)
    for title in ("KEY ID", *(("OWNER", "TENANT") if wide else ())):
        table.add_column(title, no_wrap=True, overflow="ellipsis" if title == "OWNER" else "fold")
    percents = (50, 95, 99) if wide else (95,)
    latency = [f"P{percent} MS" for percent in percents]
    for title in ("REQUESTS", "DENIED", "FAILED", "IMAGES", *(("MB IN",) if wide else ()), *latency):
        table.add_column(title, no_wrap=True, justify="right")
    table.add_column("BY DAY", no_wrap=True)
    for (tenant, key_id), own in sorted(by_key.items(), key=lambda item: -sum(row.requests for row in item[1])):
        total = together(own)
        assert total is not None
        who = (key_id, *((_owner(key_id, owners), tenant or "-") if wide else ()))
        counts = (total.requests, total.denied, total.server_errors, total.frames)
        more = (f"{total.bytes_in / 1e6:,.0f}",) if wide else ()
        by_day = {row.day: row.requests for row in own}
        spark = _spark([by_day.get(day, 0) for day in days[-(_SPARK_DAYS if wide else _SPARK_DAYS // 2) :]])
        table.add_row(
            *who, *(f"{count:,}" for count in counts), *more, *(_ms(total, percent) for percent in percents), spark
        )
    console.print(table)


def _owner(key_id: str, owners: dict[str, str]) -> str:
    return "(no good credential)" if key_id == ANONYMOUS else owners.get(key_id, "-")


def _ms(total: UsageDay, percent: int) -> str:
    found = total.latency_ms(percent)
    return "-" if found is None else f"{found:,.0f}"


def _spark(counts: Sequence[int]) -> str:
    """One character a day; a dot where there was nothing."""
    most = max(counts, default=0)
    return "".join(_SPARKS[(count * len(_SPARKS) - 1) // most] if count else "·" for count in counts)
