"""``cordon audit``: verify, look at and export the audit log, at the machine that has the database and the chain's key.

Looking at it is on record too, before anything is shown. Checking an export needs neither: ``audit_export.py``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from gateway.audit.export import ndjson
from gateway.audit.search import Filters
from gateway.audit.verify_export import ExportReport
from gateway.cli import audit_export, audit_keep
from gateway.cli.audit_open import (
    Actor,
    Model,
    Outcome,
    Patient,
    Request,
    Since,
    Tenant,
    Type,
    Until,
    bar,
    opened,
    run,
    settings_of_log,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.audit.chain import Record
    from gateway.audit.verify import Report

app = typer.Typer(
    no_args_is_help=True,
    help="Verify, read, export and keep the audit log.\n\nNeeds DATABASE_URL and AUDIT_CHAIN_KEY, as the gateway does; "
    "to verify an export takes its file and the public key alone.",
)

_POLL_SECONDS = 1.0
_PAGE = 5000
"""Rows read at once: nobody else waits for this process."""


@app.command(
    epilog="Examples:\n\ncordon audit verify && echo whole\n\n"
    "cordon audit verify january.ndjson --public-key 3b6a27bc...\n\n"
    "cordon audit verify january.csv --proof january.csv.proof --public-key 3b6a27bc..."
)
def verify(
    export: Annotated[Path | None, typer.Argument(help="An export; without one, the log itself")] = None,
    proof: Annotated[list[Path] | None, typer.Option(help="Its proof, or checkpoints that were kept elsewhere")] = None,
    public_key: Annotated[list[str] | None, typer.Option(metavar="HEX", help="See: cordon audit public-key")] = None,
    after: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Of the log, only what comes after it")] = 0,
) -> None:
    """Say whether the log, or an export, is whole: integrity, order, completeness, checkpoints. 1 on any fault."""
    if export is not None:
        report = audit_export.verify_file(export, proof or [], public_key or [])
        _show(report)
        raise typer.Exit(0 if report.good else 1)
    settings = settings_of_log()
    progress = bar("Verifying")

    async def work() -> Report:
        async with opened(settings) as reader:
            task = progress.add_task("verify", total=None)
            return await reader.verify(
                lambda done, total: progress.update(task, completed=done, total=total), after=after, page=_PAGE
            )

    with progress:
        found = run(work())
    _show(found)
    if found.given_up:
        typer.echo(f"Records up to #{found.given_up} were given up; a signed statement says so")
    if not found.good:
        raise typer.Exit(1)


@app.command(
    "list",
    epilog="Examples:\n\ncordon audit list --since 24h --outcome refused\n\ncordon audit list --request 6f1c... --json",
)
def list_records(  # noqa: PLR0917 - typer reads options from the signature
    since: Since = None,
    until: Until = None,
    kind: Type = None,
    actor: Actor = None,
    tenant: Tenant = None,
    outcome: Outcome = None,
    request: Request = None,
    patient: Patient = None,
    model: Model = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=100_000, help="Most records")] = 50,
    before: Annotated[int | None, typer.Option(metavar="NUMBER", help="Only those of a smaller number")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="NDJSON, for programs")] = False,
) -> None:
    """Show records, the newest first."""
    settings = settings_of_log()
    filters = Filters(since, until, kind, actor, tenant, outcome, request, patient, model)

    async def work() -> tuple[Record, ...]:
        async with opened(settings, "list", filters) as reader:
            return await reader.newest(filters, before, limit)

    _print(run(work()), as_json=as_json)


@app.command(epilog="Example:\n\ncordon audit tail --follow --outcome failed")
def tail(  # noqa: PLR0917 - typer reads options from the signature
    actor: Actor = None,
    tenant: Tenant = None,
    kind: Type = None,
    outcome: Outcome = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=1000, help="How many")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as records are added")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="NDJSON, for programs")] = False,
) -> None:
    """Show the last records, the newest last."""
    settings = settings_of_log()
    filters = Filters(actor=actor, tenant=tenant, type=kind, outcome=outcome)

    async def work() -> None:
        async with opened(settings, "list", filters) as reader:
            records = (await reader.newest(filters, None, limit))[::-1]
            _print(records, as_json=as_json)
            last = records[-1].seq if records else 0
            while follow:
                await asyncio.sleep(_POLL_SECONDS)
                new = [record async for record in reader.walk(filters, last)]
                _print(new, as_json=as_json, head=False)
                last = new[-1].seq if new else last

    try:
        run(work())
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


audit_export.mount(app)
audit_keep.mount(app)


def _show(report: Report | ExportReport) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("QUESTION", "VERDICT", "FAULTS", "FIRST AT", "WHAT"):
        table.add_column(title)
    for question, verdict in report.verdicts.items():
        answer = "[green]good[/]" if verdict.good else "[bold red]BAD[/]"
        first = "" if verdict.first_bad is None else f"#{verdict.first_bad}"
        table.add_row(question, answer, "" if verdict.good else str(verdict.faults), first, verdict.says)
    console = Console(highlight=False)
    console.print(table)
    if isinstance(report, ExportReport):
        console.print(f"{report.records} records, #{report.first} to #{report.last}", end="")
        console.print(f"; checkpoints vouch for them up to #{report.sealed}" if report.sealed else "")
        for note in report.notes:
            console.print(note, soft_wrap=True)
        return
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
