"""The command line: subcommands whose modules are imported when they are used.

``cordon keys`` and ``cordon audit`` need SQLAlchemy, which takes two seconds of CPU to import; ``cordon up`` and
``cordon serve`` start their servers in that time.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

MODULES = {
    "keys": "gateway.cli.keys",
    "clients": "gateway.cli.clients",
    "switches": "gateway.cli.switches",
    "usage": "gateway.cli.usage",
    "audit": "gateway.cli.audit",
    "deid": "gateway.cli.deid",
    "policy": "gateway.cli.policy",
    "model": "gateway.cli.model",
}
"""Subcommand to the module whose ``app`` it is."""


class OnDemandGroup(TyperGroup):
    """The commands that are mounted, then those of ``MODULES``."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order in which the help shows them."""
        return [*(name for name in super().list_commands(ctx) if name not in MODULES), *MODULES]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        if cmd_name in MODULES and cmd_name not in self.commands:
            command = get_command(import_module(MODULES[cmd_name]).app)
            command.name = cmd_name
            self.add_command(command)
        return super().get_command(ctx, cmd_name)
