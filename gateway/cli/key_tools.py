"""The command line: what the commands about keys share: how they open the database, and how they show a key."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from gateway.admission.access import AccessPolicy
from gateway.admission.keys import KeyMaker
from gateway.admission.plans import INFLIGHT, Plans
from gateway.cli.database import database, database_on_record, telling
from gateway.cli.errors import explain_settings, fail
from gateway.errors import Forbidden, GatewayError
from gateway.settings import AdmissionSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import datetime

    from gateway.admission.administration import Administration
    from gateway.admission.key_record import KeyRecord

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="The public ID, as `cordon keys list` shows it")]
Json = Annotated[bool, typer.Option("--json", help="For programs")]

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def settings() -> AdmissionSettings:
    """Of admission. Ends the command if they do not fit."""
    try:
        found = AdmissionSettings()
        maker(found)
    except (ValidationError, ValueError, OSError) as error:
        raise fail(explain_settings(error) if isinstance(error, ValidationError) else str(error)) from None
    return found


def maker(admission: AdmissionSettings) -> KeyMaker:
    """Under its pepper. Raises ValueError if that is too short."""
    secrets = (admission.key_pepper, admission.key_pepper_previous)
    return KeyMaker(*(secret.get_secret_value().encode() for secret in secrets))


def policies(admission: AdmissionSettings) -> tuple[AccessPolicy, Plans]:
    """Who may do what, and how often. Ends the command if a file does not fit."""
    try:
        return AccessPolicy.load(admission.access_policy), Plans.load(admission.plans_policy)
    except ValueError as error:
        raise fail(str(error)) from None


def scopes_of(access: AccessPolicy, roles: Iterable[str] | None, scopes: Iterable[str] | None) -> frozenset[str]:
    """All of these. Ends the command if one is not declared."""
    try:
        return access.expand(roles=roles or (), scopes=scopes or ())
    except GatewayError as error:
        raise fail(error.detail) from None


@asynccontextmanager
async def administration(admission: AdmissionSettings, *, to_end: bool = False) -> AsyncIterator[Administration]:
    """To change keys, on record, by the rules; workers are told. To end one needs no policy: none stands in the way."""
    from gateway.admission.administration import Administration  # noqa: PLC0415 - see database.py
    from gateway.admission.key_store import KeyStore  # noqa: PLC0415
    from gateway.admission.switches import Switches  # noqa: PLC0415

    access, plans = (AccessPolicy({}, {}, (), ()), Plans({})) if to_end else policies(admission)
    async with telling() as changes, database_on_record() as (engine, recorder):
        yield Administration.of(
            engine,
            keys=KeyStore(engine, maker(admission), changes=changes),
            switches=Switches(engine, cache_seconds=0, changes=changes),
            maker=maker(admission),
            access=access,
            plans=plans,
            recorder=recorder,
            changes=changes,
        )


async def find(admission: AdmissionSettings, *, tenant: str | None = None) -> tuple[KeyRecord, ...]:
    """The keys, the newest first."""
    from gateway.admission.key_store import KeyStore  # noqa: PLC0415 - see database.py

    async with database() as engine:
        return await KeyStore(engine, maker(admission)).list(tenant=tenant)


async def find_one(admission: AdmissionSettings, key_id: str) -> KeyRecord:
    """One key. Raises NotFound."""
    from gateway.admission.key_store import KeyStore  # noqa: PLC0415 - see database.py

    async with database() as engine:
        return await KeyStore(engine, maker(admission)).existing(key_id)


def duration(text: str) -> timedelta:
    """Of ``30m``, ``12h``, ``90d``. Raises typer.BadParameter."""
    match = re.fullmatch(r"(\d{1,5})([mhd])", text)
    if match is None:
        raise typer.BadParameter("write a number and m, h or d: 30m, 12h, 90d")
    return int(match[1]) * _UNITS[match[2]]


def lifetime(text: str) -> timedelta | None:
    """The same; None for ``never``."""
    return None if text == "never" else duration(text)


def limits(words: Iterable[str]) -> dict[str, int | None] | None:
    """Of ``minute=600``, ``minute=plan`` (its own again) and ``plan`` (all of them again: None).

    Raises:
        typer.BadParameter: It is none of these.
    """
    found: dict[str, int | None] = {}
    for word in words:
        if word == "plan":
            return None
        match = re.fullmatch(r"([a-z][a-z0-9-]{0,31})=(\d{1,10}|plan)", word)
        if match is None:
            raise typer.BadParameter("write NAME=NUMBER, NAME=plan, or plan: minute=600, inflight=16, minute=plan")
        found[match[1]] = None if match[2] == "plan" else int(match[2])
    return found


def show_secret(record: KeyRecord, secret: str) -> None:
    """The secret alone goes to stdout, so that a script can take it; what a person wants to know goes to stderr."""
    says = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    says.print(f"{record.key_id} for {record.owner} ({record.tenant}), plan {record.plan}")
    says.print(f"scopes: {' '.join(sorted(record.scopes))}; expires: {when(record.expires_at, 'never')}")
    says.print("The key, shown this once:")
    typer.echo(secret)


def show(record: KeyRecord, plans: Plans, now: datetime) -> None:
    """All that there is to know of a key, to stdout."""
    rows = {
        "key": f"{record.key_id} ({record.status(now)})",
        "owner": record.owner,
        "tenant": record.tenant,
        "scopes": " ".join(sorted(record.scopes)),
        "plan": record.plan,
        "limits": _limits(record, plans),
        "expires": when(record.expires_at, "never"),
        "revoked": when(record.revoked_at, ""),
        "break-glass": record.break_glass,
        "addresses": " ".join(record.addresses) or "anywhere",
        "note": record.note,
        "created": f"{when(record.created_at, '')} by {record.created_by}",
        "last used": when(record.last_used_at, "never"),
        "secrets": ", ".join(
            f"until {when(secret.expires_at, '')}" if secret.expires_at else "good"
            for secret in record.secrets
            if secret.expires_at is None or secret.expires_at > now
        ),
        "revision": str(record.revision),
    }
    says = Console(markup=False, highlight=False, soft_wrap=True)
    for name, text in rows.items():
        if text:
            says.print(f"{name:<12} {text}")


def as_json(record: KeyRecord, now: datetime) -> dict[str, Any]:
    """For programs."""
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    return {
        "key_id": record.key_id,
        "status": record.status(now),
        "owner": record.owner,
        "tenant": record.tenant,
        "scopes": sorted(record.scopes),
        "plan": record.plan,
        "limits": dict(record.limits),
        "addresses": list(record.addresses),
        "note": record.note,
        "created_by": record.created_by,
        "break_glass": record.break_glass,
        "revision": record.revision,
    } | {name: time.isoformat() if (time := getattr(record, name)) else None for name in times}


def print_json(what: object) -> None:
    """Indented, to stdout."""
    typer.echo(json.dumps(what, indent=2))


def when(time: datetime | None, otherwise: str) -> str:
    """To the minute, in UTC."""
    return time.strftime("%Y-%m-%d %H:%MZ") if time else otherwise


def _limits(record: KeyRecord, plans: Plans) -> str:
    try:
        plan, effective = plans[record.plan], plans.of(record.plan, record.limits)
    except Forbidden:
        return "the plan is not offered any more: the key is refused"
    said = [
        f"{window.name} {window.limit}/{window.seconds:g}s{_own(window.limit, usual.limit)}"
        for window, usual in zip(effective.windows, plan.windows, strict=True)
    ]
    if effective.concurrency is not None:
        said.append(f"{INFLIGHT} {effective.concurrency}{_own(effective.concurrency, plan.concurrency)}")
    return ", ".join(said) or "none"


def _own(limit: int, usual: int | None) -> str:
    return "" if limit == usual else f" (its own; the plan's is {usual})"
