"""``cordon keys break-glass``: a key for an emergency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.admission.administrator import Administrator
from gateway.admission.break_glass import REASONS, BreakGlassWanted
from gateway.cli import key_tools
from gateway.cli.database import run

if TYPE_CHECKING:
    from gateway.admission.key_record import KeyRecord

EXAMPLES = (
    "Examples:\n\n"
    "cordon keys break-glass --owner 'Dr. Sato' --tenant st-mary --reason downtime "
    "--note 'login provider down since 02:10, stroke patient waiting'\n\n"
    "cordon keys break-glass --owner 'Night operator' --tenant ops --reason incident --scope switches:write "
    "--minutes 30 --note 'partner floods the model'"
)


def break_glass(  # noqa: PLR0917 - typer reads options from the signature
    owner: Annotated[str, typer.Option(help="The named person who will use it")],
    tenant: Annotated[str, typer.Option(help="The organisation")],
    reason: Annotated[str, typer.Option(metavar="CODE", help=f"One of: {', '.join(REASONS)}; goes on record")],
    note: Annotated[str, typer.Option(help="Why, in a sentence; stays with the key, not on record")],
    scope: Annotated[
        list[str] | None, typer.Option(help="What for; all that the policy allows if absent; may be repeated")
    ] = None,
    minutes: Annotated[int | None, typer.Option(help="How long it lives; the policy's own if absent")] = None,
) -> None:
    """Issue a key for an emergency: hours, not days; what the policy lists, and no more; and everyone hears of it.

    Its issue and each of its uses is a critical line in the log and on record. It cannot be changed or prolonged.
    """
    settings = key_tools.settings()
    access, _ = key_tools.policies(settings)
    wanted = BreakGlassWanted(owner, tenant, key_tools.scopes_of(access, None, scope), reason, note, minutes)

    async def work() -> tuple[KeyRecord, str]:
        async with key_tools.administration(settings) as rules:
            handed = await rules.keys.break_glass(Administrator.operator(), wanted)
            assert handed.record is not None
            return handed.record, handed.secret

    key_tools.show_secret(*run(work()))
