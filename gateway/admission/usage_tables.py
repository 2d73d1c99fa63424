"""Step 1 of 7: the two tables of usage. ``migrations/versions`` makes them; a test holds both equal.

A row holds sums and nothing else, so that many processes add to it without reading it first.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, String, Table

from gateway.admission.key_tables import UtcDateTime
from gateway.database import metadata

LATENCY_MS = (
    1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 10_000, 30_000,
)  # fmt: skip
"""Upper bounds of the histogram's buckets, milliseconds; a last bucket takes the rest. From 2 ms to 3 s neighbours
differ by at most two thirds, so a percentile that is read between two of them is known to within that."""

COUNTS = (
    "requests",
    "denied_credential",
    "denied_scope",
    "denied_switch",
    "denied_limit",
    "succeeded",
    "caller_errors",
    "server_errors",
    "frames",
    "bytes_in",
    "latency_us",
)
BUCKETS = (*(f"ms_{bound}" for bound in LATENCY_MS), "ms_more")
MEASURES = (*COUNTS, *BUCKETS)

usage = Table(
    "usage",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("day", Date, primary_key=True, index=True),
    Column("key_id", String(64), primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in MEASURES),
)
"""One row a key and day (UTC)."""

usage_writers = Table(
    "usage_writers",
    metadata,
    Column("writer", String(32), primary_key=True),
    Column("batch", BigInteger, nullable=False),
    Column("written_at", UtcDateTime, nullable=False),
)
"""One row a gateway process: the last batch of it that is in ``usage``. One that is sent again is not added again."""
