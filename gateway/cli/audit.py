"""``cordon audit``: verify, look at and export the audit log, at the machine that has the database and the chain's key.

Looking at it is on record too, before anything is shown.
"""

from __future__ import annotations

import asyncio
import re
import sys
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway.audit.events import EVENT_TYPES, SYSTEM, AuditRead
from gateway.audit.export import ndjson
from gateway.audit.reader import AuditReader
from gateway.audit.recorder import Recorder
from gateway.audit.search import Filters
from gateway.cli.errors import explain_settings, fail
from gateway.database import create_engine
from gateway.errors import GatewayError
from gateway.settings import MIN_SECRET_BYTES, AuditSettings, DatabaseSettings, LogSettings
from gateway.telemetry.logging import configure_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterable

    from gateway.audit.chain import Record
    from gateway.audit.verify import Report

Answer = TypeVar("Answer")

app = typer.Typer(
    no_args_is_help=True,
    help="Verify, read and export the audit log.\n\nNeeds DATABASE_URL and AUDIT_CHAIN_KEY, as the gateway does.",
)

_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_POLL_SECONDS = 1.0


def _time(text: str) -> datetime:
    """A time in UTC, or how long ago: ``2026-01-31T12:00Z``, ``2026-01-31``, ``90m``."""
    if match := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return datetime.now(UTC) - int(match[1]) * _UNITS[match[2]]
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write a date, a time in UTC, or how long ago: 2026-01-31, 90m, 7d") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _type(text: str) -> str:
    if text not in EVENT_TYPES:
        raise typer.BadParameter(f"there are: {', '.join(EVENT_TYPES)}")
    return text


_Since = Annotated[datetime | None, typer.Option(parser=_time, metavar="TIME", help="Not before: a time, or 90m, 7d")]
_Until = Annotated[datetime | None, typer.Option(parser=_time, metavar="TIME", help="Before: a time, or 90m, 7d")]
_Type = Annotated[str | None, typer.Option("--type", parser=_type, metavar="TYPE", help="request.finished, ...")]
_Actor = Annotated[str | None, typer.Option(help="Public ID of the key")]
_Tenant = Annotated[str | None, typer.Option(help="Organisation")]
_Outcome = Annotated[str | None, typer.Option(help="success, refused or failed")]
_Request = Annotated[str | None, typer.Option("--request", metavar="ID", help="Correlation ID")]
_Patient = Annotated[str | None, typer.Option(metavar="PSEUDONYM", help="The patient's pseudonym")]
_Model = Annotated[str | None, typer.Option(help="Model")]


@app.command(epilog="Example:\n\ncordon audit verify && echo whole")
def verify() -> None:
    """Check every record, their order, the checkpoints, and that no tail is missing. Exits with 1 on any fault."""
    settings = _settings()
    progress = Progress(
        TextColumn("Verifying"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )

    async def work() -> Report:
        async with _reader(settings) as reader:
            task = progress.add_task("verify", total=None)
            return await reader.verify(lambda done, total: progress.update(task, completed=done, total=total))

    with progress:
        report = _run(work())
    _show(report)
    if not report.good:
        raise typer.Exit(1)


@app.command(
    "list",
    epilog="Examples:\n\ncordon audit list --since 24h --outcome refused\n\ncordon audit list --request 6f1c... --json",
)
def list_records(  # noqa: PLR0917 - typer reads options from the signature
    since: _Since = None,
    until: _Until = None,
    kind: _Type = None,
    actor: _Actor = None,
    tenant: _Tenant = None,
    outcome: _Outcome = None,
    request: _Request = None,
    patient: _Patient = None,
    model: _Model = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=100_000, help="Most records")] = 50,
    before: Annotated[int | None, typer.Option(metavar="NUMBER", help="Only those of a smaller number")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="NDJSON, for programs")] = False,
) -> None:
    """Show records, the newest first."""
    settings = _settings()
    filters = Filters(since, until, kind, actor, tenant, outcome, request, patient, model)

    async def work() -> tuple[Record, ...]:
        async with _reader(settings, "list", filters) as reader:
            return (await reader.find(filters, before, limit)).records

    _print(_run(work()), as_json=as_json)


@app.command(epilog="Example:\n\ncordon audit tail --follow --outcome failed")
def tail(  # noqa: PLR0917 - typer reads options from the signature
    actor: _Actor = None,
    tenant: _Tenant = None,
    kind: _Type = None,
    outcome: _Outcome = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=1000, help="How many")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as records are added")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="NDJSON, for programs")] = False,
) -> None:
    """Show the last records, the newest last."""
    settings = _settings()
    filters = Filters(actor=actor, tenant=tenant, type=kind, outcome=outcome)

    async def work() -> None:
        async with _reader(settings, "list", filters) as reader:
            records = (await reader.find(filters, None, limit)).records[::-1]
            _print(records, as_json=as_json)
            last = records[-1].seq if records else 0
            while follow:
                await asyncio.sleep(_POLL_SECONDS)
                new = [record async for record in reader.walk(filters, last)]
                _print(new, as_json=as_json, head=False)
                last = new[-1].seq if new else last

    try:
        _run(work())
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command(epilog="Example:\n\ncordon audit export --since 2026-01-01 --until 2026-02-01 > january.ndjson")
def export(  # noqa: PLR0917 - typer reads options from the signature
    since: _Since = None,
    until: _Until = None,
    kind: _Type = None,
    actor: _Actor = None,
    tenant: _Tenant = None,
    outcome: _Outcome = None,
    request: _Request = None,
    patient: _Patient = None,
    model: _Model = None,
) -> None:
    """Write records to stdout as NDJSON, the oldest first: each with its hash, and byte by byte as it was hashed."""
    settings = _settings()
    filters = Filters(since, until, kind, actor, tenant, outcome, request, patient, model)

    async def work() -> None:
        async with _reader(settings, "export", filters) as reader:
            async for record in reader.walk(filters):
                sys.stdout.buffer.write(ndjson(record))
            sys.stdout.buffer.flush()

    _run(work())


def _settings() -> AuditSettings:
    try:
        settings = AuditSettings()
    except (ValidationError, ValueError, OSError) as error:
        raise fail(explain_settings(error)) from None
    if len(settings.chain_key.get_secret_value().encode()) < MIN_SECRET_BYTES:
        raise fail("AUDIT_CHAIN_KEY is not set: set it, or AUDIT_CHAIN_KEY_FILE, to what the gateway has")
    return settings


@asynccontextmanager
async def _reader(
    settings: AuditSettings, action: Literal["list", "export"] | None = None, filters: Filters | None = None
) -> AsyncIterator[AuditReader]:
    """The log, opened. With an action: after it is on record that someone here reads it."""
    engine = create_engine(DatabaseSettings())
    try:
        reader = AuditReader(engine, settings)
        await reader.check()
        if action:
            configure_logging(LogSettings(level="WARNING"), sys.stderr)  # stdout is for the records
            recorder = Recorder(engine, settings)
            await recorder.start()
            read = AuditRead(str(uuid.uuid4()), SYSTEM, "", action=action, filters=filters.names() if filters else ())
            try:
                await recorder.record(read)
            finally:
                await recorder.close()
        yield reader
    finally:
        await engine.dispose()


def _run(work: Coroutine[None, None, Answer]) -> Answer:
    try:
        return asyncio.run(work)
    except GatewayError as error:
        raise fail(error.detail or error.title) from None
    except BrokenPipeError:
        raise typer.Exit(0) from None


def _show(report: Report) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("QUESTION", "VERDICT", "FAULTS", "FIRST AT", "WHAT"):
        table.add_column(title)
    for question, verdict in report.verdicts.items():
        answer = "[green]good[/]" if verdict.good else "[bold red]BAD[/]"
        first = "" if verdict.first_bad is None else f"#{verdict.first_bad}"
        table.add_row(question, answer, "" if verdict.good else str(verdict.faults), first, verdict.says)
    console = Console(highlight=False)
    console.print(table)
    console.print(f"{report.records} records; sealed up to #{report.sealed}", end="")
    console.print(f"; the {report.last - report.sealed} after it are not yet" if report.last > report.sealed else "")


def _print(records: Iterable[Record], *, as_json: bool, head: bool = True) -> None:
    if as_json:
        for record in records:
            typer.echo(ndjson(record), nl=False)
        return
    console = Console(markup=False, highlight=False, soft_wrap=True)
    if head:
        console.print(_line(("NUMBER", "TIME (UTC)", "TYPE", "OUTCOME", "ACTOR", "TENANT", "REQUEST", "WHAT")))
    for record in records:
        said = record.fields
        names = ("type", "outcome", "actor", "tenant", "request_id")
        time = str(said.get("time", ""))[:23].replace("T", " ")
        console.print(_line((record.seq, time, *(said.get(name, "") for name in names), _what(said))))


def _line(cells: Iterable[Any]) -> str:
    widths = (8, 23, 16, 8, 18, 12, 36, 0)
    return "  ".join(str(cell).ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _what(said: Any) -> str:
    """The few members that tell most, by type."""
    names = ("route", "status", "problem", "prediction", "kind", "reason", "count", "key", "action", "version")
    return " ".join(f"{name}={said[name]}" for name in names if str(said.get(name, "")))
