"""``cordon keys``: issue, list, rotate and revoke API keys, at the machine that has the database and the pepper."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from gateway.admission.access import AccessPolicy
from gateway.admission.key_record import KeyRecord, NewKey
from gateway.admission.keys import KeyMaker
from gateway.admission.plans import Plans
from gateway.cli.database import database, database_on_record, run, who
from gateway.cli.errors import explain_settings, fail
from gateway.errors import GatewayError, InvalidParameter
from gateway.settings import AdmissionSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.admission.key_store import KeyStore
    from gateway.audit.recorder import Recorder

app = typer.Typer(
    no_args_is_help=True,
    help="Issue, list, rotate and revoke API keys.\n\n"
    "Needs DATABASE_URL, ADMISSION_KEY_PEPPER and AUDIT_CHAIN_KEY, as the gateway does: each change is on record. "
    "What is changed here holds on every running worker within a second.",
)

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="The public ID, as `cordon keys list` shows it")]


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,5})([mhd])", text)
    if match is None:
        raise typer.BadParameter("write a number and m, h or d: 30m, 12h, 90d")
    return int(match[1]) * _UNITS[match[2]]


def _lifetime(text: str) -> timedelta | None:
    return None if text == "never" else _duration(text)


@app.command(
    epilog="Examples:\n\n"
    "cordon keys issue --owner 'Radiology PACS' --tenant st-mary --role clinician\n\n"
    "KEY=$(cordon keys issue --owner 'Load test' --tenant ops --scope predict --expires 1d)\n\n"
    "cordon keys issue --owner 'Partner' --tenant acme --role clinician --plan partner --from 192.0.2.0/24\n\n"
    "cordon keys issue --owner 'Trial export' --tenant acme --scope deidentify --scope deidentify:research"
)
def issue(  # noqa: PLR0917 - typer reads options from the signature
    owner: Annotated[str, typer.Option(help="The named person or system that it belongs to")],
    tenant: Annotated[str, typer.Option(help="The organisation: small letters, digits, . _ -")],
    role: Annotated[list[str] | None, typer.Option(help="A role of the access policy; may be repeated")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="A single scope: predict, deidentify, ...; may be repeated")
    ] = None,
    plan: Annotated[str, typer.Option(help="A plan of the plans policy: how often it may call")] = "standard",
    expires: Annotated[str, typer.Option(metavar="TIME", help="30m, 12h, 90d from now, or never")] = "365d",
    network: Annotated[
        list[str] | None, typer.Option("--from", metavar="CIDR", help="Good only from here; may be repeated")
    ] = None,
    note: Annotated[str, typer.Option(help="Why it exists")] = "",
) -> None:
    """Issue a key. Its secret is printed to stdout, once, and cannot be shown again."""
    lifetime = _lifetime(expires)
    settings = _settings()
    now = datetime.now(UTC)
    try:
        granted = AccessPolicy.load(settings.access_policy).expand(roles=role or (), scopes=scope or ())
        if plan not in (plans := Plans.load(settings.plans_policy)):
            raise InvalidParameter(f"No such plan; there are: {', '.join(sorted(plans))}")
    except ValueError as error:
        raise fail(str(error)) from None
    except GatewayError as error:
        raise fail(error.detail) from None
    new = NewKey(
        owner=owner,
        tenant=tenant,
        scopes=granted,
        plan=plan,
        expires_at=now + lifetime if lifetime else None,
        addresses=tuple(network or ()),
        note=note,
    )

    async def work() -> tuple[KeyRecord, str]:
        from gateway.audit.events import KeyIssued  # noqa: PLC0415 - see database.py

        async with _changing(settings) as (store, recorder):
            record, issued = await store.issue(new)
            scopes = tuple(sorted(record.scopes))
            ends = record.expires_at.isoformat() if record.expires_at else ""
            await recorder.record(KeyIssued(*who(), record.key_id, record.tenant, scopes, record.plan, ends))
            return record, issued.text

    record, secret = run(work())
    _show_secret(record, secret)


@app.command(
    "list", epilog="Examples:\n\ncordon keys list --tenant st-mary\n\ncordon keys list --json | jq '.[].key_id'"
)
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only of this organisation")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs")] = False,
) -> None:
    """List keys, the newest first. Secrets are not stored, so none can be shown."""
    settings = _settings()

    async def work() -> tuple[KeyRecord, ...]:
        async with _store(settings) as store:
            return await store.list(tenant=tenant)

    records = run(work())
    now = datetime.now(UTC)
    if as_json:
        typer.echo(json.dumps([_as_json(record, now) for record in records], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("KEY ID", "STATUS", "OWNER", "TENANT", "SCOPES", "PLAN", "EXPIRES", "LAST USED"):
        table.add_column(title, no_wrap=title not in {"OWNER", "SCOPES"})
    for record in records:
        row = (record.key_id, record.status(now), record.owner, record.tenant, " ".join(sorted(record.scopes)))
        table.add_row(*row, record.plan, _day(record.expires_at, "never")[:10], _day(record.last_used_at, "-"))
    Console(soft_wrap=False, markup=False, highlight=False).print(table)


@app.command(
    epilog="Examples:\n\ncordon keys rotate key_7Hq2mXc9RtLa\n\ncordon keys rotate key_7Hq2mXc9RtLa --overlap 24h"
)
def rotate(
    key_id: _KeyId,
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old secret stays good: 0m to 7d. It leaked? 0m")
    ] = "0m",
) -> None:
    """Give a key a new secret, printed to stdout, once. Its ID, scopes, plan and expiry stay."""
    settings = _settings()
    span = _duration(overlap)

    async def work() -> tuple[KeyRecord, str]:
        from gateway.audit.events import KeyRotated  # noqa: PLC0415 - see database.py

        async with _changing(settings) as (store, recorder):
            record, issued = await store.rotate(key_id, overlap=span)
            seconds = int(span.total_seconds())
            await recorder.record(KeyRotated(*who(), record.key_id, record.tenant, overlap_seconds=seconds))
            return record, issued.text

    record, secret = run(work())
    _show_secret(record, secret)


@app.command(epilog="Example:\n\ncordon keys revoke key_7Hq2mXc9RtLa")
def revoke(key_id: _KeyId) -> None:
    """End a key, for good: refused on every worker within a second."""
    settings = _settings()

    async def work() -> KeyRecord:
        from gateway.audit.events import KeyRevoked  # noqa: PLC0415 - see database.py

        async with _changing(settings) as (store, recorder):
            record = await store.revoke(key_id)
            await recorder.record(KeyRevoked(*who(), record.key_id, record.tenant))
            return record

    record = run(work())
    typer.echo(f"{record.key_id} is revoked.", err=True)


def _settings() -> AdmissionSettings:
    try:
        settings = AdmissionSettings()
        _maker(settings)
    except (ValidationError, ValueError, OSError) as error:
        raise fail(explain_settings(error) if isinstance(error, ValidationError) else str(error)) from None
    return settings


@asynccontextmanager
async def _store(settings: AdmissionSettings) -> AsyncIterator[KeyStore]:
    """To look at keys."""
    from gateway.admission.key_store import KeyStore  # noqa: PLC0415 - see database.py

    async with database() as engine:
        yield KeyStore(engine, _maker(settings))


@asynccontextmanager
async def _changing(settings: AdmissionSettings) -> AsyncIterator[tuple[KeyStore, Recorder]]:
    """To change them, on record."""
    from gateway.admission.key_store import KeyStore  # noqa: PLC0415 - see database.py

    async with database_on_record() as (engine, recorder):
        yield KeyStore(engine, _maker(settings)), recorder


def _maker(settings: AdmissionSettings) -> KeyMaker:
    secrets = (settings.key_pepper, settings.key_pepper_previous)
    return KeyMaker(*(secret.get_secret_value().encode() for secret in secrets))


def _show_secret(record: KeyRecord, secret: str) -> None:
    """The secret alone goes to stdout, so that a script can take it; what a person wants to know goes to stderr."""
    says = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    says.print(f"{record.key_id} for {record.owner} ({record.tenant}), plan {record.plan}")
    says.print(f"scopes: {' '.join(sorted(record.scopes))}; expires: {_day(record.expires_at, 'never')}")
    says.print("The key, shown this once:")
    typer.echo(secret)


def _as_json(record: KeyRecord, now: datetime) -> dict[str, object]:
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    return {
        "key_id": record.key_id,
        "status": record.status(now),
        "owner": record.owner,
        "tenant": record.tenant,
        "scopes": sorted(record.scopes),
        "plan": record.plan,
        "addresses": list(record.addresses),
        "note": record.note,
        "created_by": record.created_by,
    } | {name: time.isoformat() if (time := getattr(record, name)) else None for name in times}


def _day(time: datetime | None, otherwise: str) -> str:
    return time.strftime("%Y-%m-%d %H:%MZ") if time else otherwise
