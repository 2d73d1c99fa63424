"""``cordon audit truncate``, ``pseudonym`` and ``public-key``: what is kept, whose it is, and who vouches for it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.audit.describe import events_markdown
from gateway.audit.events import EVENT_TYPES, PatientSought
from gateway.audit.reader import AuditReader
from gateway.audit.retention import SIX_YEARS_DAYS, Retention, RetentionPolicy
from gateway.audit.statements import Signer
from gateway.cli.audit_open import bar, engine_of_log, recording, run, settings_of_log, whoever
from gateway.cli.errors import explain_settings, fail
from gateway.deid.uids import MIN_KEY_BYTES, StandIns
from gateway.settings import DeidSettings

if TYPE_CHECKING:
    from gateway.audit.retention import Plan
    from gateway.settings import AuditSettings


def truncate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and do nothing")] = False,
    confirm: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Number of the last record that goes, as --dry-run says it")
    ] = None,
    unattended: Annotated[
        bool, typer.Option("--unattended", help="Ask nobody; only where the policy says audit.unattended: true")
    ] = False,
) -> None:
    """Give up records older than the retention policy keeps them. The chain stays provable from there on.

    What is to go is verified first, and kept if it is not whole. In PostgreSQL the role must own the table.
    """
    settings = settings_of_log()
    try:
        policy = RetentionPolicy.load(settings.retention_policy).audit
    except ValueError as error:
        raise fail(str(error)) from None
    if unattended and not policy.unattended:
        raise fail(f"{settings.retention_policy}: audit.unattended is not true, so a person must confirm")
    if policy.keep_days < SIX_YEARS_DAYS:
        typer.echo(f"note: {policy.keep_days} days are less than six years (45 CFR 164.316(b)(2)(i))", err=True)

    run(_truncate(settings, timedelta(days=policy.keep_days), dry_run=dry_run, confirm=confirm, unattended=unattended))


async def _truncate(
    settings: AuditSettings, keep: timedelta, *, dry_run: bool, confirm: int | None, unattended: bool
) -> None:
    async with engine_of_log() as engine:
        reader = AuditReader(engine, settings)
        await reader.check()
        retention = Retention(engine, reader, settings, keep)
        plan = await retention.plan(datetime.now(UTC))
        typer.echo(_said(plan))
        if dry_run or not (plan.records or plan.left):
            return
        with bar("Verifying") as progress:
            task = progress.add_task("verify", total=None)
            await retention.check(plan, lambda done, total: progress.update(task, completed=done, total=total))
        if not unattended:
            _confirmed(plan, confirm)
        async with recording(engine, settings) as recorder:
            with bar("Removing") as progress:
                task = progress.add_task("remove", total=None)
                await retention.give_up(
                    plan, whoever(), recorder, lambda done, total: progress.update(task, completed=done, total=total)
                )
    typer.echo(f"Given up: #{plan.first} to #{plan.through.seq}")


def _said(plan: Plan) -> str:
    until = plan.before.strftime("%Y-%m-%d %H:%M UTC")
    if not (plan.records or plan.left):
        return f"No record was made before {until}; nothing to give up"
    rest = f"; {plan.left} of them were given up before and are still there" if plan.left else ""
    return f"Made before {until}: #{plan.first} to #{plan.through.seq}{rest}"


def _confirmed(plan: Plan, confirm: int | None) -> None:
    if confirm is None and sys.stdin.isatty():
        confirm = typer.prompt(
            "They cannot be brought back. To go on, write the number of the last that goes", type=int
        )
    if confirm is None:
        raise fail(f"Nothing was given up: a person must confirm, with --confirm {plan.through.seq}")
    if confirm != plan.through.seq:
        raise fail("Nothing was given up: that is not the number of the last record that would go")


def pseudonym(
    tenant: Annotated[str, typer.Option(help="Organisation whose patient it is")],
    issuer: Annotated[str, typer.Option(help="Issuer of Patient ID (0010,0021), where the images name one")] = "",
) -> None:
    """Compute a patient's pseudonym from a Patient ID that is read from the terminal or stdin, never from the command.

    That someone did is on record, with the pseudonym and not the ID.
    """
    settings = settings_of_log()
    try:
        key = DeidSettings().key.get_secret_value().encode()
    except (ValueError, OSError) as error:
        raise fail(explain_settings(error)) from None
    if len(key) < MIN_KEY_BYTES:
        raise fail("DEID_KEY is not set: set it, or DEID_KEY_FILE, to what the gateway has")
    entered = typer.prompt("Patient ID", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    found = StandIns.of(key, tenant).patient(entered.strip(), issuer)
    if found is None:
        raise fail("No Patient ID was entered")
    patient = found

    async def work() -> None:
        who = whoever()
        async with engine_of_log() as engine:
            await AuditReader(engine, settings).check()
            async with recording(engine, settings) as recorder:
                await recorder.record(PatientSought(who.request_id, who.actor, who.tenant, patient, tenant))

    run(work())
    typer.echo(patient)


def public_key() -> None:
    """Print the public key of the checkpoints, 64 hexadecimal digits: give it to whoever is to verify exports."""
    typer.echo(Signer.of(settings_of_log()).public.hex())


def events() -> None:
    """Print the list of all events and their fields, in Markdown."""
    typer.echo(events_markdown(EVENT_TYPES.values()), nl=False)


def mount(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog="Examples:\n\ncordon audit truncate --dry-run\n\ncordon audit truncate --confirm 1843200")(
        truncate
    )
    app.command(epilog="Example:\n\ncordon audit list --patient $(cordon audit pseudonym --tenant st-mary)")(pseudonym)
    app.command("public-key")(public_key)
    app.command()(events)
