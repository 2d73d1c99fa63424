"""Beside all steps: what the last hour was like in this process, a minute a point, for those who have no Prometheus.

It is the metrics' own numbers, read once a minute and kept in memory: some kilobytes, gone with the process. Of several
processes each has its own.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from gateway.telemetry import catalogue as of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import CollectorRegistry

SECONDS = 60.0
MINUTES = 60
WORK = frozenset({"POST /v1/predict", "POST /v1/deidentify", "POST /console/try"})
"""The routes that take images: what else is asked would hide them."""
PERCENTILES = (50, 95, 99)
_NAMES = (of.REQUESTS.name, of.DENIALS.name, f"{of.REQUEST_SECONDS.name}_bucket")


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment.

    Attributes:
        at: When, seconds since 1970.
        answered: Class of status to how many requests of images ended so.
        denied: Policy to how many requests it refused, of all routes.
        buckets: Upper bound in seconds to how many requests of images took that long at most.
    """

    at: float
    answered: Mapping[str, float] = field(default_factory=dict)
    denied: Mapping[str, float] = field(default_factory=dict)
    buckets: Mapping[float, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Minute:
    """What happened between two readings.

    Attributes:
        at: When it ended, seconds since 1970.
        served: Requests of images that were answered.
        refused: Those that ended with 4xx, the denied among them, or whose caller left.
        failed: Those that ended with 5xx.
        denied: Policy to how many requests of any route it refused.
        latency: Percentile to milliseconds; None where nothing was measured.
    """

    at: float
    served: int
    refused: int
    failed: int
    denied: Mapping[str, int]
    latency: Mapping[int, float | None]


class History:
    """The ring, and the gauges as they are now.

    Args:
        registry: Of the process's meter.
        now: Tells the time, seconds since 1970.
    """

    def __init__(self, registry: CollectorRegistry, now: Callable[[], float] = time.time) -> None:
        self._registry = registry
        self._now = now
        self._ring: deque[Reading] = deque(maxlen=MINUTES)

    async def take(self) -> None:
        """Keep a reading."""
        self._ring.append(self.read())

    def read(self) -> Reading:
        """The counters now."""
        answered: dict[str, float] = {}
        denied: dict[str, float] = {}
        buckets: dict[float, float] = {}
        for family in self._registry.restricted_registry(_NAMES).collect():
            for sample in family.samples:
                labels, value = sample.labels, sample.value
                if sample.name == of.DENIALS.name:
                    denied[labels["policy"]] = denied.get(labels["policy"], 0) + value
                elif labels.get("route") not in WORK:
                    continue
                elif sample.name == of.REQUESTS.name:
                    answered[labels["status"]] = answered.get(labels["status"], 0) + value
                else:
                    bound = float(labels["le"])
                    buckets[bound] = buckets.get(bound, 0) + value
        return Reading(self._now(), answered, denied, buckets)

    def minutes(self) -> tuple[Minute, ...]:
        """The last hour, the oldest first; the last one is not over yet."""
        return tuple(_between(*pair) for pair in pairwise((*self._ring, self.read())))

    def value(self, family: of.Family, **labels: str) -> float:
        """A gauge's value now; 0 where it has none."""
        return self._registry.get_sample_value(family.name, labels) or 0.0


def _between(before: Reading, after: Reading) -> Minute:
    grown = {name: round(value - before.answered.get(name, 0)) for name, value in after.answered.items()}
    denied = {name: round(value - before.denied.get(name, 0)) for name, value in after.denied.items()}
    counts = {bound: value - before.buckets.get(bound, 0) for bound, value in sorted(after.buckets.items())}
    return Minute(
        at=after.at,
        served=sum(count for name, count in grown.items() if name in ("2xx", "3xx")),
        refused=sum(count for name, count in grown.items() if name in ("4xx", "gone")),
        failed=grown.get("5xx", 0),
        denied={name: count for name, count in denied.items() if count},
        latency={percent: percentile(counts, percent) for percent in PERCENTILES},
    )


def percentile(counts: Mapping[float, float], percent: int) -> float | None:
    """Milliseconds below which so many percent lie, by straight lines within a bucket; None of nothing.

    Args:
        counts: Upper bound in seconds, rising, to how many took that long at most; the last bound may be infinite, and
            what lies above the one before it is told as that bound.
        percent: 1 to 99.
    """
    bounds = list(counts)
    total = counts[bounds[-1]] if bounds else 0
    if total <= 0:
        return None
    wanted, low, below = total * percent / 100, 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= wanted:
            if bound == float("inf"):
                break
            inside = (wanted - below) / (counts[bound] - below)
            return (low + (bound - low) * inside) * 1000
        low, below = bound, counts[bound]
    return low * 1000
