"""The command line: how an error is shown. One line says what is wrong, the next what to do; no traceback."""

from __future__ import annotations

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text


def fail(message: str, status: int = 1) -> typer.Exit:
    """Say it on stderr; raise what is returned."""
    Console(stderr=True, soft_wrap=True).print(Text.assemble(("error: ", "bold red"), message))
    return typer.Exit(status)


def explain_settings(error: Exception) -> str:
    """What is wrong with the settings. Values are not repeated: they may be secrets."""
    if not isinstance(error, ValidationError):
        return f"The settings cannot be read: {error}"
    reasons = []
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in each["loc"])
        reasons.append(f"{where}: {each['msg']}" if where else each["msg"].removeprefix("Value error, "))
    return "The settings do not fit. " + "; ".join(reasons) + ". All settings: cordon settings"
