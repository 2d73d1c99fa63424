"""Beside all steps: metrics that are quick to count and cannot grow: one child a label set, a most of label sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import prometheus_client
from prometheus_client import CollectorRegistry, disable_created_metrics

from gateway.telemetry.catalogue import OTHER

if TYPE_CHECKING:
    from gateway.telemetry.catalogue import Across, Family

disable_created_metrics()  # type: ignore[no-untyped-call] # a series more for each: nobody asks when a counter was made

Labels: TypeAlias = tuple[str, ...]
_ACROSS: dict[Across, Literal["livesum", "livemax", "livemin"]] = {
    "sum": "livesum",
    "max": "livemax",
    "min": "livemin",
}


class _Children(dict[Labels, Any]):
    """Label set to its child: made at the first use, found again without the library's lock and checks."""

    def __init__(self, metric: Any, family: Family) -> None:
        super().__init__()
        self._metric = metric
        self._most = family.most
        self._other: Labels = (OTHER,) * len(family.labels)
        if not family.labels:
            self[()] = metric

    def __missing__(self, labels: Labels) -> Any:
        if len(labels) != len(self._other):
            raise ValueError(f"{len(self._other)} labels are needed")  # a defect of the code that counts
        if len(self) >= self._most and labels != self._other:
            return self[self._other]
        child = self[labels] = self._metric.labels(*labels)
        return child


class Counter:
    """Only grows."""

    def __init__(self, family: Family, registry: CollectorRegistry) -> None:
        metric = prometheus_client.Counter(family.name, family.help, family.labels, registry=registry)
        self._children = _Children(metric, family)

    def inc(self, *labels: str, by: float = 1) -> None:
        """Add to one; adding 0 makes it appear."""
        self._children[labels].inc(by)


class Gauge:
    """Goes up and down."""

    def __init__(self, family: Family, registry: CollectorRegistry) -> None:
        metric = prometheus_client.Gauge(
            family.name, family.help, family.labels, registry=registry, multiprocess_mode=_ACROSS[family.across]
        )
        self._children = _Children(metric, family)

    def set(self, value: float, *labels: str) -> None:
        """Set one."""
        self._children[labels].set(value)

    def add(self, value: float, *labels: str) -> None:
        """Add to one."""
        self._children[labels].inc(value)

    def choose(self, chosen: str, values: tuple[str, ...]) -> None:
        """Of a gauge with one label: 1 for the chosen value, 0 for the others."""
        for value in values:
            self._children[value,].set(value == chosen)


class Histogram:
    """Counts by size."""

    def __init__(self, family: Family, registry: CollectorRegistry) -> None:
        metric = prometheus_client.Histogram(
            family.name, family.help, family.labels, buckets=family.buckets, registry=registry
        )
        self._children = _Children(metric, family)

    def observe(self, value: float, *labels: str) -> None:
        """Note one."""
        self._children[labels].observe(value)

    def show(self, *labels: str) -> None:
        """Make it appear, empty."""
        self._children[labels]
