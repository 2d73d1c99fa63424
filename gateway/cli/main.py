"""The ``cordon`` command. Its subcommands keys, switches, audit, deid, ... are mounted by ``on_demand``."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import Annotated

import typer

from gateway.cli.api import api
from gateway.cli.demo import demo
from gateway.cli.doctor import doctor
from gateway.cli.local import use_local_state
from gateway.cli.metrics import metrics
from gateway.cli.on_demand import OnDemandGroup
from gateway.cli.serve import serve
from gateway.cli.settings import settings
from gateway.cli.up import DEFAULT_STATE, up

app = typer.Typer(
    name="cordon",
    cls=OnDemandGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # a plain traceback suits a log, and shows no locals: they may hold keys
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A hardened gateway between hospitals and their image models: admit, de-identify, infer, prove.",
    epilog="Examples:\n\n"
    "cordon demo\n\n"
    "cordon up --port 0\n\n"
    "cordon keys issue --owner 'Radiology PACS' --tenant st-mary --role clinician\n\n"
    "cordon deid scans/ -o clean/\n\n"
    "REDIS_URL=redis://cache:6379/0 TRITON_URL=triton:8001 DATABASE_URL=postgresql+asyncpg://... cordon serve",
)

_LOCAL = ("keys", "clients", "switches", "usage", "audit", "model")


@app.callback()
def _main(
    context: typer.Context,
    state: Annotated[
        Path,
        typer.Option(
            envvar="CORDON_STATE",
            help="keys, clients, switches, usage, audit, model use it, unless DATABASE_URL is set; deid takes its key",
        ),
    ] = DEFAULT_STATE,
) -> None:
    if context.invoked_subcommand in _LOCAL:
        use_local_state(state)


app.command(epilog="Examples:\n\ncordon up\n\ncordon up --port 0 --state /var/lib/cordon --workers 2")(up)
app.command(epilog="Example:\n\ncordon demo")(demo)
app.command(epilog="Example:\n\nTRITON_URL=triton:8001 cordon serve --host 0.0.0.0 --workers 4")(serve)
app.command(epilog="Example:\n\ncordon settings > .env")(settings)
app.command()(metrics)
app.command()(api)
app.command()(doctor)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(installed_version("cordon"))
