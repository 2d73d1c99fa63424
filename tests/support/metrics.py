"""What a gateway tells Prometheus, as numbers."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


def numbers(text: str) -> dict[str, float]:
    """``name{label="value",...}``, labels by name, to the value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def names(text: str) -> set[str]:
    """The names of the series."""
    return {series.partition("{")[0] for series in numbers(text)}
