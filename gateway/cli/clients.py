"""``cordon clients``: register, list, disable and remove clients, at the machine that has the database."""

from __future__ import annotations

import json
import re
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from gateway.admission.access import AccessPolicy
from gateway.admission.administrator import Administrator
from gateway.admission.client_record import ClientRecord, NewClient
from gateway.admission.plans import Plans
from gateway.cli.database import database, database_on_record, run
from gateway.cli.errors import explain_settings, fail
from gateway.settings import AdmissionSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.admission.client_changes import ClientChanges

app = typer.Typer(
    no_args_is_help=True,
    help="Register, list, disable and remove clients: systems that sign in with a key pair of their own.\n\n"
    "Needs DATABASE_URL and AUDIT_CHAIN_KEY, as the gateway does: each change is on record. "
    "What is changed here holds on every running worker within a second.",
)

MAX_FILE = 64 * 2**10

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_ClientId = Annotated[str, typer.Argument(metavar="CLIENT_ID", help="The public ID, as `cordon clients list` shows it")]
_Keys = Annotated[Path | None, typer.Option("--jwks", metavar="FILE", help="Its public keys, a JWK set; - is stdin")]
_Url = Annotated[str, typer.Option("--jwks-url", metavar="URL", help="Or where they are: https")]
_Json = Annotated[bool, typer.Option("--json", help="For programs")]


@app.command(
    epilog="Examples:\n\n"
    "cordon clients register --owner 'PACS' --tenant st-mary --role clinician --jwks-url https://pacs.example/jwks\n\n"
    "CLIENT=$(cordon clients register --owner 'Trial' --tenant acme --scope deidentify --jwks public.json)"
)
def register(  # noqa: PLR0917 - typer reads options from the signature
    owner: Annotated[str, typer.Option(help="The named person or system that it belongs to")],
    tenant: Annotated[str, typer.Option(help="The organisation: small letters, digits, . _ -")],
    role: Annotated[list[str] | None, typer.Option(help="A role of the access policy; may be repeated")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="A single scope: predict, ...; may be repeated")] = None,
    jwks: _Keys = None,
    jwks_url: _Url = "",
    plan: Annotated[str, typer.Option(help="A plan of the plans policy: how often it may call")] = "standard",
    expires: Annotated[str, typer.Option(metavar="TIME", help="30m, 12h, 90d from now, or never")] = "365d",
    note: Annotated[str, typer.Option(help="Why it exists")] = "",
) -> None:
    """Register a client with its public keys. Its ID is printed to stdout; it has no secret here."""
    lifetime, keys = _lifetime(expires), _read_keys(jwks)

    async def work() -> ClientRecord:
        async with _changing() as (changes, access):
            new = NewClient(
                owner=owner,
                tenant=tenant,
                scopes=access.expand(roles=role or (), scopes=scope or ()),
                plan=plan,
                jwks=keys,
                jwks_url=jwks_url,
                expires_at=datetime.now(UTC) + lifetime if lifetime else None,
                note=note,
            )
            return await changes.register(Administrator.operator(), new)

    record = run(work())
    says = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    says.print(f"{record.client_id} for {record.owner} ({record.tenant}), plan {record.plan}")
    says.print(f"scopes: {' '.join(sorted(record.scopes))}; expires: {_day(record.expires_at, 'never')}")
    typer.echo(record.client_id)


@app.command("list", epilog="Examples:\n\ncordon clients list --tenant st-mary\n\ncordon clients list --json")
def list_clients(
    tenant: Annotated[str | None, typer.Option(help="Only of this organisation")] = None, as_json: _Json = False
) -> None:
    """List clients, the newest first, without those that were removed."""

    async def work() -> tuple[ClientRecord, ...]:
        from gateway.admission.client_store import ClientStore  # noqa: PLC0415 - see database.py

        async with database() as engine:
            return await ClientStore(engine).list(tenant=tenant)

    records = run(work())
    now = datetime.now(UTC)
    if as_json:
        typer.echo(json.dumps([_as_json(record, now) for record in records], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("CLIENT ID", "STATUS", "OWNER", "TENANT", "SCOPES", "PLAN", "EXPIRES", "LAST USED"):
        table.add_column(title, no_wrap=title not in {"OWNER", "SCOPES"})
    for record in records:
        row = (record.client_id, record.status(now), record.owner, record.tenant, " ".join(sorted(record.scopes)))
        table.add_row(*row, record.plan, _day(record.expires_at, "never")[:10], _day(record.last_used_at, "-"))
    Console(soft_wrap=False, markup=False, highlight=False).print(table)


@app.command(epilog="Example:\n\ncordon clients show client_7Hq2mXc9RtLa")
def show(client_id: _ClientId) -> None:
    """Show all of a client, as JSON; removed ones too."""

    async def work() -> ClientRecord:
        async with _changing() as (changes, _):
            return await changes.find(Administrator.operator(), client_id)

    typer.echo(json.dumps(_as_json(run(work()), datetime.now(UTC)), indent=2))


@app.command(epilog="Example:\n\ncordon clients keys client_7Hq2mXc9RtLa --jwks public.json")
def keys(client_id: _ClientId, jwks: _Keys = None, jwks_url: _Url = "") -> None:
    """Give a client other keys; those before count no more."""
    wanted = _read_keys(jwks)
    _change(lambda changes, by: changes.replace_keys(by, client_id, wanted, jwks_url), "has other keys")


@app.command(epilog="Example:\n\ncordon clients disable client_7Hq2mXc9RtLa")
def disable(client_id: _ClientId) -> None:
    """Refuse a client and its tokens, within a second, until it is enabled."""
    _change(lambda changes, by: changes.disable(by, client_id), "is disabled")


@app.command(epilog="Example:\n\ncordon clients enable client_7Hq2mXc9RtLa")
def enable(client_id: _ClientId) -> None:
    """Let a client in again."""
    _change(lambda changes, by: changes.enable(by, client_id), "is enabled")


@app.command(epilog="Example:\n\ncordon clients remove client_7Hq2mXc9RtLa")
def remove(client_id: _ClientId) -> None:
    """End a client, for good: refused on every worker within a second."""
    _change(lambda changes, by: changes.remove(by, client_id), "is removed")


def _change(change: Callable[[ClientChanges, Administrator], Awaitable[ClientRecord]], is_now: str) -> None:
    async def work() -> ClientRecord:
        async with _changing() as (changes, _):
            return await change(changes, Administrator.operator())

    typer.echo(f"{run(work()).client_id} {is_now}.", err=True)


@asynccontextmanager
async def _changing() -> AsyncIterator[tuple[ClientChanges, AccessPolicy]]:
    from gateway.admission.client_changes import ClientChanges  # noqa: PLC0415 - see database.py
    from gateway.admission.client_store import ClientStore  # noqa: PLC0415

    try:
        settings = AdmissionSettings()
        access, plans = AccessPolicy.load(settings.access_policy), Plans.load(settings.plans_policy)
    except (ValidationError, ValueError, OSError) as error:
        raise fail(explain_settings(error) if isinstance(error, ValidationError) else str(error)) from None
    async with database_on_record() as (engine, recorder):
        yield ClientChanges(ClientStore(engine), access, plans, recorder), access


def _read_keys(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        content = json.loads(_bytes_of(path))
    except (OSError, ValueError, RecursionError) as error:
        raise fail(f"--jwks: the file cannot be read as JSON ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise fail("--jwks: the file holds no JWK set")
    return content


def _bytes_of(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(MAX_FILE)
    with path.open("rb") as file:
        return file.read(MAX_FILE)


def _lifetime(text: str) -> timedelta | None:
    if text == "never":
        return None
    match = re.fullmatch(r"(\d{1,5})([mhd])", text)
    if match is None:
        raise typer.BadParameter("write a number and m, h or d, as in 90d, or never")
    return int(match[1]) * _UNITS[match[2]]


def _as_json(record: ClientRecord, now: datetime) -> dict[str, Any]:
    times = ("created_at", "expires_at", "disabled_at", "removed_at", "last_used_at")
    return {
        "client_id": record.client_id,
        "status": record.status(now),
        "owner": record.owner,
        "tenant": record.tenant,
        "scopes": sorted(record.scopes),
        "plan": record.plan,
        "jwks": record.jwks,
        "jwks_url": record.jwks_url,
        "note": record.note,
        "created_by": record.created_by,
    } | {name: time.isoformat() if (time := getattr(record, name)) else None for name in times}


def _day(time: datetime | None, otherwise: str) -> str:
    return time.strftime("%Y-%m-%d %H:%MZ") if time else otherwise
