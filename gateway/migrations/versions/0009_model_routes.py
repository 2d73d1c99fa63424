"""Which version of a model answers, as operators set it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "model_routes",
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("shares", sa.Text, nullable=False),
        sa.Column("shadow", sa.String(16), nullable=False),
        sa.Column("shadow_share", sa.Integer, nullable=False),
        sa.Column("unloaded", sa.Text, nullable=False),
        sa.Column("fallback", sa.String(16), nullable=False),
        sa.Column("offer", sa.String(64), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("note", sa.String(500), nullable=False),
        sa.Column("changed_by", sa.String(64), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model", "number", name="pk_model_routes"),
    )


def downgrade() -> None:
    """Drop it: the file says who answers."""
    op.drop_table("model_routes")
