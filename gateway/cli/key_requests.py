"""``cordon keys requests``: changes of keys that wait for a second pair of eyes: list, approve, reject."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from gateway.admission.administrator import Administrator
from gateway.cli import key_tools
from gateway.cli.database import run

if TYPE_CHECKING:
    from gateway.admission.key_request import KeyRequest

app = typer.Typer(
    no_args_is_help=True,
    help="Changes of keys that wait for a second pair of eyes.\n\n"
    "Where the access policy asks for four eyes, what an administrator does over HTTP or in the console to a key with "
    "such a scope waits here. The operator at the machine may be the second one, on record as `cli`.",
)

_RequestId = Annotated[str, typer.Argument(metavar="REQUEST_ID", help="As `cordon keys requests list` shows it")]


@app.command(
    "list",
    epilog="Examples:\n\ncordon keys requests list\n\ncordon keys requests list --all --json | jq '.[].request_id'",
)
def list_requests(
    everything: Annotated[bool, typer.Option("--all", help="Decided ones too")] = False, as_json: key_tools.Json = False
) -> None:
    """List what waits, the newest first."""
    settings = key_tools.settings()

    async def work() -> tuple[KeyRequest, ...]:
        async with key_tools.administration(settings) as rules:
            return await rules.approval.list(Administrator.operator())

    now = datetime.now(UTC)
    found = [request for request in run(work()) if everything or request.status(now) == "pending"]
    if as_json:
        key_tools.print_json([_as_json(request, now) for request in found])
        return
    if not found:
        typer.echo("Nothing waits.", err=True)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("REQUEST", "STATUS", "WHAT", "KEY", "OWNER", "SCOPES", "ASKED BY", "UNTIL"):
        table.add_column(title, no_wrap=title not in {"OWNER", "SCOPES", "ASKED BY"})
    for request in found:
        what = f"{request.kind} {','.join(request.changed)}" if request.kind == "update" else request.kind
        row = (request.request_id, request.status(now), what, request.key_id, request.new.owner)
        scopes, asked = " ".join(sorted(request.new.scopes)), f"{request.person} ({request.requested_by})"
        table.add_row(*row, scopes, asked, key_tools.when(request.expires_at, ""))
    Console(soft_wrap=False, markup=False, highlight=False).print(table)


@app.command(epilog="Example:\n\ncordon keys requests approve req_7Hq2mXc9RtLa")
def approve(request_id: _RequestId) -> None:
    """Put what was asked for into force."""
    settings = key_tools.settings()

    async def work() -> KeyRequest:
        async with key_tools.administration(settings) as rules:
            request, _ = await rules.approval.approve(Administrator.operator(), request_id)
            return request

    request = run(work())
    typer.echo(f"{request.request_id} is approved: {request.kind} of {request.key_id}.", err=True)


@app.command(epilog="Example:\n\ncordon keys requests reject req_7Hq2mXc9RtLa")
def reject(request_id: _RequestId) -> None:
    """Close it without doing anything."""
    settings = key_tools.settings()

    async def work() -> KeyRequest:
        async with key_tools.administration(settings) as rules:
            return await rules.approval.reject(Administrator.operator(), request_id)

    request = run(work())
    typer.echo(f"{request.request_id} is rejected.", err=True)


def _as_json(request: KeyRequest, now: datetime) -> dict[str, Any]:
    new = request.new
    return {
        "request_id": request.request_id,
        "status": request.status(now),
        "kind": request.kind,
        "key_id": request.key_id,
        "tenant": new.tenant,
        "owner": new.owner,
        "scopes": sorted(new.scopes),
        "plan": new.plan,
        "changed": list(request.changed),
        "requested_by": request.requested_by,
        "person": request.person,
        "requested_at": request.requested_at.isoformat(),
        "expires_at": request.expires_at.isoformat(),
        "decided_by": request.decided_by,
    }
