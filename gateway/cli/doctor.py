"""``cordon doctor``: whether this machine has what ``cordon up`` needs, before anything is started."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.text import Text

from gateway.cli.up import TritonOption  # noqa: TC001 - typer reads the annotations when it runs
from gateway.embedded import valkey
from gateway.embedded.errors import StackError
from gateway.embedded.stack import DEFAULT_MODELS_POLICY, DEFAULT_REPOSITORY
from gateway.embedded.triton_environment import DEFAULT_ENVIRONMENT, TritonEnvironment
from gateway.models.catalog import ModelCatalog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def doctor(*, triton: TritonOption = DEFAULT_ENVIRONMENT) -> None:
    """Say whether this machine can run everything, and what is missing if it cannot."""
    console = Console(soft_wrap=True)
    checks: dict[str, Callable[[], str]] = {
        "model server": lambda: _triton(triton),
        "Valkey": _valkey,
        "models": _models,
    }
    sound = True
    for name, check in checks.items():
        try:
            console.print(Text.assemble(("✓ ", "green"), f"{name}: {check()}"))
        except (StackError, ValueError) as error:
            sound = False
            console.print(Text.assemble(("✗ ", "red"), f"{name}: {error}"))
    raise typer.Exit(0 if sound else 1)


def _triton(environment: Path) -> str:
    found = TritonEnvironment.find(environment)
    return f"Python {found.version}, libpython in {found.libraries[0]}"


def _valkey() -> str:
    server = valkey.binary()
    if not os.access(server, os.X_OK):
        raise StackError(f"{server} cannot be run")
    return "its server is installed"


def _models() -> str:
    catalog = ModelCatalog.load(DEFAULT_MODELS_POLICY, DEFAULT_REPOSITORY)
    checked = catalog.verify_weights()
    return f"{', '.join(model.name for model in catalog)}; {len(checked)} files are as their manifests say"
