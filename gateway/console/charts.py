"""Bars, drawn on the server: a script is not needed to see them, and no style is inline."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from gateway.admission.usage_report import together
from gateway.admission.usage_store import Asked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.admission.usage_report import UsageDay
    from gateway.admission.usage_store import UsageStore

DAYS = 14
HEIGHT = 100
STEP = 20
"""Width of a day in the drawing; a bar takes 14 of it."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One day: lengths in the drawing's units, from the ground up.

    Attributes:
        x: Left edge.
        day: Which.
        served: Requests that were not denied.
        denied: Requests that were.
        served_height: Its part of the bar.
        denied_height: The part above it.
    """

    x: int
    day: date
    served: int
    denied: int
    served_height: float
    denied_height: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Some days of use.

    Attributes:
        bars: A day each, the oldest first.
        most: Requests of the busiest day: the drawing's height.
        total: All days together; None if nothing was used.
        today: The last day; None likewise.
    """

    bars: tuple[Bar, ...]
    most: int
    total: UsageDay | None
    today: UsageDay | None

    @property
    def width(self) -> int:
        """Of the drawing."""
        return STEP * len(self.bars)

    @property
    def height(self) -> int:
        """Of the drawing."""
        return HEIGHT


async def traffic(store: UsageStore, tenant: str, key_id: str | None = None, *, days: int = DAYS) -> Traffic:
    """What a tenant, or one of its keys, used in the last days.

    Raises:
        StoreUnavailable: It cannot be read.
    """
    last = datetime.now(UTC).date()
    first = last - timedelta(days=days - 1)
    rows: dict[date, list[UsageDay]] = {}
    async for page in store.walk(Asked(first, last, tenant, key_id)):
        for row in page:
            rows.setdefault(row.day, []).append(row)
    sums = {day: together(of_day) for day, of_day in rows.items()}
    return drawn([(day, sums.get(day)) for day in (first + timedelta(days=n) for n in range(days))])


def drawn(days: Iterable[tuple[date, UsageDay | None]]) -> Traffic:
    """The drawing of some days."""
    listed = list(days)
    most = max((row.requests for _, row in listed if row), default=0)
    bars = []
    for number, (day, row) in enumerate(listed):
        requests, denied = (row.requests, row.denied) if row else (0, 0)
        unit = HEIGHT / most if most else 0.0
        served = requests - denied
        bars.append(Bar(number * STEP + 3, day, served, denied, round(served * unit, 2), round(denied * unit, 2)))
    total = together(row for _, row in listed if row)
    return Traffic(tuple(bars), most, total, listed[-1][1] if listed else None)
