"""``cordon keys``: issue, list, show, update, rotate and revoke API keys, at the machine that has the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from gateway.admission.administrator import Administrator
from gateway.admission.key_change import merged_limits
from gateway.admission.key_record import KeyRecord, NewKey
from gateway.cli import key_break_glass, key_requests, key_tools
from gateway.cli.database import run
from gateway.errors import PreconditionFailed

if TYPE_CHECKING:
    from gateway.admission.key_admin import Changed

app = typer.Typer(
    no_args_is_help=True,
    help="Issue, list, show, update, rotate and revoke API keys.\n\n"
    "Needs DATABASE_URL, ADMISSION_KEY_PEPPER and AUDIT_CHAIN_KEY, as the gateway does: each change is on record. "
    "What is changed here holds on every running worker within a second; at once if REDIS_URL is theirs.",
)
app.add_typer(key_requests.app, name="requests")
app.command("break-glass", epilog=key_break_glass.EXAMPLES)(key_break_glass.break_glass)

_TRIES = 5  # a key that is changed that often while one command runs is changed by a machine

_Role = Annotated[list[str] | None, typer.Option(help="A role of the access policy; may be repeated")]
_Scope = Annotated[list[str] | None, typer.Option(help="A single scope: predict, deidentify, ...; may be repeated")]
_Network = Annotated[
    list[str] | None, typer.Option("--from", metavar="CIDR", help="Good only from here; may be repeated")
]


@app.command(
    epilog="Examples:\n\n"
    "cordon keys issue --owner 'Radiology PACS' --tenant st-mary --role clinician\n\n"
    "KEY=$(cordon keys issue --owner 'Load test' --tenant ops --scope predict --expires 1d)\n\n"
    "cordon keys issue --owner 'Partner' --tenant acme --role clinician --plan partner --from 192.0.2.0/24\n\n"
    "cordon keys issue --owner 'Night import' --tenant acme --role clinician --limit minute=900 --limit inflight=16\n\n"
    "cordon keys issue --owner 'Trial export' --tenant acme --scope deidentify --scope deidentify:research"
)
def issue(  # noqa: PLR0917 - typer reads options from the signature
    owner: Annotated[str, typer.Option(help="The named person or system that it belongs to")],
    tenant: Annotated[str, typer.Option(help="The organisation: small letters, digits, . _ -")],
    role: _Role = None,
    scope: _Scope = None,
    plan: Annotated[str, typer.Option(help="A plan of the plans policy: how often it may call")] = "standard",
    limit: Annotated[
        list[str] | None, typer.Option(metavar="NAME=N", help="In place of the plan's; may be repeated")
    ] = None,
    expires: Annotated[str, typer.Option(metavar="TIME", help="30m, 12h, 90d from now, or never")] = "365d",
    network: _Network = None,
    note: Annotated[str, typer.Option(help="Why it exists")] = "",
) -> None:
    """Issue a key. Its secret is printed to stdout, once, and cannot be shown again."""
    lives = key_tools.lifetime(expires)
    own = key_tools.limits(limit or ())
    settings = key_tools.settings()
    access, _ = key_tools.policies(settings)
    new = NewKey(
        owner=owner,
        tenant=tenant,
        scopes=key_tools.scopes_of(access, role, scope),
        plan=plan,
        expires_at=datetime.now(UTC) + lives if lives else None,
        addresses=tuple(network or ()),
        note=note,
        limits=merged_limits((), own or {}),
    )

    async def work() -> tuple[KeyRecord, str]:
        async with key_tools.administration(settings) as rules:
            handed = await rules.keys.issue(Administrator.operator(), new)
            assert handed.record is not None  # the operator waits for nobody
            return handed.record, handed.secret

    key_tools.show_secret(*run(work()))


@app.command(
    "list", epilog="Examples:\n\ncordon keys list --tenant st-mary\n\ncordon keys list --json | jq '.[].key_id'"
)
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only of this organisation")] = None,
    as_json: key_tools.Json = False,
) -> None:
    """List keys, the newest first. Secrets are not stored, so none can be shown."""
    records = run(key_tools.find(key_tools.settings(), tenant=tenant))
    now = datetime.now(UTC)
    if as_json:
        key_tools.print_json([key_tools.as_json(record, now) for record in records])
        return
    table = Table(box=None, pad_edge=False)
    for title in ("KEY ID", "STATUS", "OWNER", "TENANT", "SCOPES", "PLAN", "EXPIRES", "LAST USED"):
        table.add_column(title, no_wrap=title not in {"OWNER", "SCOPES"})
    for record in records:
        plan = f"{record.plan}*" if record.limits else record.plan
        row = (record.key_id, record.status(now), record.owner, record.tenant, " ".join(sorted(record.scopes)))
        ends, used = key_tools.when(record.expires_at, "never")[:10], key_tools.when(record.last_used_at, "-")
        table.add_row(*row, plan, ends, used)
    Console(soft_wrap=False, markup=False, highlight=False).print(table)
    if any(record.limits for record in records):
        typer.echo("* with limits of its own: cordon keys show KEY_ID", err=True)


@app.command(
    epilog="Examples:\n\ncordon keys show key_7Hq2mXc9RtLa\n\ncordon keys show key_7Hq2mXc9RtLa --json | jq .limits"
)
def show(key_id: key_tools.KeyId, as_json: key_tools.Json = False) -> None:
    """Show a key: what it may, how often, until when, and whose it is."""
    settings = key_tools.settings()
    _, plans = key_tools.policies(settings)
    record = run(key_tools.find_one(settings, key_id))
    now = datetime.now(UTC)
    if as_json:
        key_tools.print_json(key_tools.as_json(record, now))
    else:
        key_tools.show(record, plans, now)


@app.command(
    epilog="Examples:\n\n"
    "cordon keys update key_7Hq2mXc9RtLa --plan partner --limit minute=600 --limit inflight=16\n\n"
    "cordon keys update key_7Hq2mXc9RtLa --limit minute=plan\n\n"
    "cordon keys update key_7Hq2mXc9RtLa --limit plan\n\n"
    "cordon keys update key_7Hq2mXc9RtLa --expires 90d --note 'extended by a quarter'\n\n"
    "cordon keys update key_7Hq2mXc9RtLa --role clinician --scope deidentify --from anywhere"
)
def update(  # noqa: PLR0917 - typer reads options from the signature
    key_id: key_tools.KeyId,
    owner: Annotated[str | None, typer.Option(help="The named person or system that it belongs to")] = None,
    note: Annotated[str | None, typer.Option(help="Why it exists")] = None,
    role: _Role = None,
    scope: _Scope = None,
    plan: Annotated[str | None, typer.Option(help="A plan of the plans policy")] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=N", help="In place of the plan's; NAME=plan or plan takes it back"),
    ] = None,
    expires: Annotated[str | None, typer.Option(metavar="TIME", help="30m, 12h, 90d from now, or never")] = None,
    network: Annotated[
        list[str] | None, typer.Option("--from", metavar="CIDR", help="Good only from here; or: anywhere")
    ] = None,
) -> None:
    """Change a key. What is not named stays; --role and --scope together, and --from, replace what was there."""
    settings = key_tools.settings()
    patch: dict[str, Any] = {name: text for name, text in (("owner", owner), ("note", note)) if text is not None}
    if plan is not None:
        patch["plan"] = plan
    if role or scope:
        patch["scopes"] = key_tools.scopes_of(key_tools.policies(settings)[0], role, scope)
    if limit:
        patch["limits"] = key_tools.limits(limit)
    if expires is not None:
        lives = key_tools.lifetime(expires)
        patch["expires_at"] = datetime.now(UTC) + lives if lives else None
    if network:
        patch["addresses"] = None if network == ["anywhere"] else network
    if not patch:
        raise typer.BadParameter("name what is to be changed: --plan, --limit, --expires, ...")

    async def work() -> Changed:
        async with key_tools.administration(settings) as rules:
            by = Administrator.operator()
            for _ in range(_TRIES - 1):
                try:
                    return await rules.keys.update(by, key_id, patch, revision=None)
                except PreconditionFailed:  # changed since it was read: read it again
                    continue
            return await rules.keys.update(by, key_id, patch, revision=None)

    done = run(work())
    says = ", ".join(done.changed) if done.changed else "nothing: it was so already"
    typer.echo(f"{key_id}: changed {says}", err=True)


@app.command(
    epilog="Examples:\n\ncordon keys rotate key_7Hq2mXc9RtLa\n\ncordon keys rotate key_7Hq2mXc9RtLa --overlap 24h"
)
def rotate(
    key_id: key_tools.KeyId,
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old secret stays good: 0m to 7d. It leaked? 0m")
    ] = "0m",
) -> None:
    """Give a key a new secret, printed to stdout, once. Its ID, scopes, plan and expiry stay."""
    settings = key_tools.settings()
    span = key_tools.duration(overlap)

    async def work() -> tuple[KeyRecord, str]:
        async with key_tools.administration(settings) as rules:
            handed = await rules.keys.rotate(Administrator.operator(), key_id, span)
            assert handed.record is not None  # the operator waits for nobody
            return handed.record, handed.secret

    key_tools.show_secret(*run(work()))


@app.command(epilog="Example:\n\ncordon keys revoke key_7Hq2mXc9RtLa")
def revoke(key_id: key_tools.KeyId) -> None:
    """End a key, for good: refused on every worker within a second."""
    settings = key_tools.settings()

    async def work() -> KeyRecord:
        async with key_tools.administration(settings, to_end=True) as rules:
            return await rules.keys.revoke(Administrator.operator(), key_id)

    record = run(work())
    typer.echo(f"{record.key_id} is revoked.", err=True)
