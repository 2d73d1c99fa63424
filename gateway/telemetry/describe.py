"""Beside all steps: the catalogue of metrics in words, made from the table: ``docs/observability/metrics.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.telemetry.catalogue import Family

_HEAD = """# Metrics

Made from the code by `make docs`. A label's values are names of ours; *most* is how many label sets there can be: what
comes beyond them is counted under `other`. *Over processes* is what the gateway's processes together show.
Histograms of seconds have the buckets {buckets}.

| metric | kind | labels (most) | over processes | what |
|---|---|---|---|---|
"""


def metrics_markdown(families: Iterable[Family], buckets: Iterable[float]) -> str:
    """The list as Markdown."""
    lines = []
    for family in families:
        labels = f"{', '.join(f'`{label}`' for label in family.labels)} ({family.most})" if family.labels else ""
        across = family.across if family.kind == "gauge" else "sum"
        lines.append(f"| `{family.name}` | {family.kind} | {labels} | {across} | {family.help} |\n")
    return _HEAD.format(buckets=", ".join(f"{size:g}" for size in buckets)) + "".join(lines)
