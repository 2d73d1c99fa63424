"""Keys that are updated: a revision, limits of their own, why one was issued in an emergency; and requests that wait.

Keys that were there are at their first revision, hold their plan's limits, and are ordinary ones.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("api_keys", sa.Column("revision", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("api_keys", sa.Column("limits", sa.JSON(), nullable=True))
    op.add_column("api_keys", sa.Column("break_glass", sa.String(32), nullable=False, server_default=""))
    op.create_table(
        "key_requests",
        sa.Column("request_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("change", sa.JSON(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=True),
        sa.Column("requested_by", sa.String(64), nullable=False),
        sa.Column("person", sa.String(200), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision", sa.String(16), nullable=True),
        sa.Column("decided_by", sa.String(64), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("request_id", name="pk_key_requests"),
    )
    op.create_index("ix_key_requests_tenant", "key_requests", ["tenant"])


def downgrade() -> None:
    """Drop them: keys hold their plan's limits again, and what waits is lost."""
    op.drop_table("key_requests")
    with op.batch_alter_table("api_keys") as table:
        for column in ("break_glass", "limits", "revision"):
            table.drop_column(column)
