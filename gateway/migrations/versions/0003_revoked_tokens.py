"""Tokens of outside issuers that were ended before their time: the digest of issuer and ``jti``, never the token."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "revoked_tokens",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("revoked_by", sa.String(64), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_revoked_tokens"),
    )


def downgrade() -> None:
    """Drop it: tokens that were ended are good again until they end by themselves."""
    op.drop_table("revoked_tokens")
