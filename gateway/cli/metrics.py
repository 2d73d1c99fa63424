"""``cordon metrics``: every metric that the gateway tells, as a table."""

from __future__ import annotations

import typer


def metrics() -> None:
    """Print every metric, with its labels and what it says, as Markdown."""
    from gateway.telemetry.catalogue import FAMILIES, SECONDS  # noqa: PLC0415 - for this command alone
    from gateway.telemetry.describe import metrics_markdown  # noqa: PLC0415

    typer.echo(metrics_markdown(FAMILIES, SECONDS), nl=False)
