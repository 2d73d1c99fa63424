"""``cordon switches``: a key, a tenant, a model or everything, off and on, at the machine that has the database."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer
from rich.console import Console
from rich.table import Table

from gateway.admission.administrator import Administrator
from gateway.cli.database import database, database_on_record, run, telling
from gateway.cli.errors import fail
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.admission.switch_admin import SwitchAdministration
    from gateway.admission.switches import Kind, Switch

app = typer.Typer(
    no_args_is_help=True,
    help="Switch a key, a tenant, a model or everything off, and on again.\n\n"
    "Needs DATABASE_URL and AUDIT_CHAIN_KEY, as the gateway does: each change is on record. "
    "It holds on every running worker within a second; what is running goes on to its end.",
)

_Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="all, tenant:NAME, key:KEY_ID or model:NAME", show_default=False)
]


@app.command(
    epilog="Examples:\n\n"
    "cordon switches off all --reason incident\n\n"
    "cordon switches off key:key_7Hq2mXc9RtLa --reason leak --note 'seen in a public repository'\n\n"
    "cordon switches off model:brain_mri_resnet50 --reason model-fault"
)
def off(
    target: _Target,
    reason: Annotated[str, typer.Option(help="A code, which goes on record; see the error of a wrong one")],
    note: Annotated[str, typer.Option(help="A sentence for the other operators; not on record")] = "",
) -> None:
    """Switch something off: requests are refused from now on, with an error that says so."""
    from gateway.admission.switches import SwitchReason  # noqa: PLC0415 - see database.py

    kind, name = _read(target)
    if reason not in get_args(SwitchReason):
        raise fail(f"--reason is one of: {', '.join(get_args(SwitchReason))}")

    async def work() -> None:
        async with _open() as switches:
            code = cast("SwitchReason", reason)
            await switches.turn_off(Administrator.operator(), kind, name, reason=code, note=note)

    run(work())
    typer.echo(f"{target} is off.", err=True)


@app.command(epilog="Example:\n\ncordon switches on all")
def on(target: _Target) -> None:
    """Switch something on again."""
    kind, name = _read(target)

    async def work() -> bool:
        async with _open() as switches:
            return await switches.turn_on(Administrator.operator(), kind, name)

    was_off = run(work())
    typer.echo(f"{target} is on." if was_off else f"{target} was not off.", err=True)


@app.command("list", epilog="Examples:\n\ncordon switches list\n\ncordon switches list --json | jq '.[].name'")
def list_switches(as_json: Annotated[bool, typer.Option("--json", help="For programs")] = False) -> None:
    """List what is off, the newest first."""

    async def work() -> tuple[Switch, ...]:
        from gateway.admission.switches import Switches  # noqa: PLC0415 - see database.py

        async with database() as engine:
            return await Switches(engine, cache_seconds=0).list()

    found = run(work())
    if as_json:
        typer.echo(json.dumps([_as_json(switch) for switch in found], indent=2))
        return
    if not found:
        typer.echo("Nothing is off.", err=True)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("OFF", "REASON", "NOTE", "BY", "SINCE"):
        table.add_column(title, no_wrap=title != "NOTE")
    for switch in found:
        target = switch.name if switch.kind == "all" else f"{switch.kind}:{switch.name}"
        since = f"{switch.switched_at:%Y-%m-%d %H:%MZ}"
        table.add_row(target, switch.reason, switch.note, switch.switched_by, since)
    Console(soft_wrap=False, markup=False, highlight=False).print(table)


def _read(target: str) -> tuple[Kind, str]:
    from gateway.admission.switches import check_target  # noqa: PLC0415 - see database.py

    kind, _, name = target.partition(":")
    name = name or ("all" if kind == "all" else "")
    try:
        check_target(kind, name)
    except GatewayError as error:
        raise fail(f"{error.detail}. Write all, tenant:NAME, key:KEY_ID or model:NAME") from None
    return cast("Kind", kind), name


@asynccontextmanager
async def _open() -> AsyncIterator[SwitchAdministration]:
    from gateway.admission.switch_admin import SwitchAdministration  # noqa: PLC0415 - see database.py
    from gateway.admission.switches import Switches  # noqa: PLC0415

    async with telling() as changes, database_on_record() as (engine, recorder):
        switches = Switches(engine, cache_seconds=0, changes=changes)
        yield SwitchAdministration(switches, None, recorder)


def _as_json(switch: Switch) -> dict[str, str]:
    return {
        "kind": switch.kind,
        "name": switch.name,
        "reason": switch.reason,
        "note": switch.note,
        "switched_by": switch.switched_by,
        "switched_at": switch.switched_at.isoformat(),
    }
