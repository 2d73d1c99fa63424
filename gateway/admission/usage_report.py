"""Step 1 of 7: what is told of a key's usage: sums, percentiles, CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from gateway.admission.usage_tables import COUNTS, LATENCY_MS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

_PERCENTILES = (50, 95, 99)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0")
"""What a spreadsheet takes for a formula's first character (OWASP, CSV injection)."""

CSV_HEAD = (
    "day",
    "tenant",
    "key_id",
    *COUNTS[:-1],
    "latency_count",
    "latency_mean_ms",
    *(f"latency_p{percent}_ms" for percent in _PERCENTILES),
)


@dataclass(frozen=True, slots=True)
class UsageDay:
    """One key on one day, or several of them together.

    Attributes:
        day: In UTC.
        tenant: Whose key; empty for the rows of all strangers.
        key_id: Its public ID.
        requests: All that it made: those that were denied, and those that ended in one of the three ways below.
        denied_credential: Refused: no good credential.
        denied_scope: Refused: the scope is missing.
        denied_switch: Refused: an operator switched the key, its tenant, the model or everything off.
        denied_limit: Refused: a window or the concurrency limit was used up.
        succeeded: Answered with 2xx or 3xx.
        caller_errors: Answered with 4xx, or their caller left.
        server_errors: Answered with 5xx.
        frames: Images classified or given back.
        bytes_in: Bytes of bodies that were read.
        latency_us: Sum, microseconds, of the requests that were not denied.
        buckets: How many of them fell into each bucket of ``LATENCY_MS``, and above it.
    """

    day: date
    tenant: str
    key_id: str
    requests: int
    denied_credential: int
    denied_scope: int
    denied_switch: int
    denied_limit: int
    succeeded: int
    caller_errors: int
    server_errors: int
    frames: int
    bytes_in: int
    latency_us: int
    buckets: tuple[int, ...]

    @property
    def denied(self) -> int:
        """All denials."""
        return self.denied_credential + self.denied_scope + self.denied_switch + self.denied_limit

    @property
    def latency_count(self) -> int:
        """Requests whose latency was counted."""
        return sum(self.buckets)

    @property
    def latency_mean_ms(self) -> float | None:
        """Milliseconds; None if there are none."""
        count = self.latency_count
        return round(self.latency_us / count / 1000, 1) if count else None

    def latency_ms(self, percent: float) -> float | None:
        """The latency that so many percent of the requests do not exceed, milliseconds; None if there are none.

        Read between the bounds of the bucket that it falls into, as if its requests were spread evenly. Beyond the last
        bound it is that bound: then it says "at least".
        """
        wanted = self.latency_count * percent / 100
        if not wanted:
            return None
        below = 0.0
        for number, (low, high) in zip(self.buckets, pairwise((0, *LATENCY_MS)), strict=False):
            if below + number >= wanted and number:
                return round(low + (high - low) * (wanted - below) / number, 1)
            below += number
        return float(LATENCY_MS[-1])

    def as_json(self) -> dict[str, Any]:
        """JSON types, and a date."""
        bounds = (*LATENCY_MS, None)
        return {
            "day": self.day,
            "tenant": self.tenant,
            "key_id": self.key_id,
            "requests": self.requests,
            "denials": {
                "credential": self.denied_credential,
                "scope": self.denied_scope,
                "switch": self.denied_switch,
                "limit": self.denied_limit,
            },
            "outcomes": {
                "succeeded": self.succeeded,
                "caller_errors": self.caller_errors,
                "server_errors": self.server_errors,
            },
            "frames": self.frames,
            "bytes_in": self.bytes_in,
            "latency": {
                "count": self.latency_count,
                "mean_ms": self.latency_mean_ms,
                **{f"p{percent}_ms": self.latency_ms(percent) for percent in _PERCENTILES},
                "histogram": [
                    {"up_to_ms": bound, "count": count}
                    for bound, count in zip(bounds, self.buckets, strict=True)
                    if count
                ],
            },
        }


def together(rows: Iterable[UsageDay]) -> UsageDay | None:
    """The sum of some rows, under the day, tenant and key of the first; None of none."""
    total: UsageDay | None = None
    for row in rows:
        if total is None:
            total = row
            continue
        sums = {name: getattr(total, name) + getattr(row, name) for name in COUNTS}
        buckets = tuple(map(sum, zip(total.buckets, row.buckets, strict=True)))
        total = UsageDay(total.day, total.tenant, total.key_id, **sums, buckets=buckets)
    return total


def csv_text(rows: Iterable[UsageDay], *, head: bool = False) -> str:
    """Lines of CSV (RFC 4180). No cell is taken for a formula by a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    if head:
        writer.writerow(CSV_HEAD)
    for row in rows:
        counts = (getattr(row, name) for name in COUNTS[:-1])
        latency = (row.latency_count, row.latency_mean_ms, *(row.latency_ms(percent) for percent in _PERCENTILES))
        writer.writerow((row.day.isoformat(), _cell(row.tenant), _cell(row.key_id), *counts, *latency))
    return buffer.getvalue()


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
