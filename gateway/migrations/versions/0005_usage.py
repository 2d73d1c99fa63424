"""Usage by key and day, and which batch of each process is in it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

_COUNTS = (
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
_BOUNDS_MS = (
    1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 10_000, 30_000,
)  # fmt: skip
_BUCKETS = (*(f"ms_{bound}" for bound in _BOUNDS_MS), "ms_more")


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "usage",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in (*_COUNTS, *_BUCKETS)),
        sa.PrimaryKeyConstraint("tenant", "day", "key_id", name="pk_usage"),
    )
    op.create_index("ix_usage_day", "usage", ["day"])
    op.create_table(
        "usage_writers",
        sa.Column("writer", sa.String(32), nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("writer", name="pk_usage_writers"),
    )


def downgrade() -> None:
    """Drop both: what was counted is lost."""
    op.drop_table("usage_writers")
    op.drop_table("usage")
