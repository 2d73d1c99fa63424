"""The audit log: its records, and the signed checkpoints over them.

``body`` is the record; the other columns repeat parts of it so that they can be searched.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "audit",
        sa.Column("seq", _SEQ, nullable=False, autoincrement=False),
        sa.Column("time", sa.String(27), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("tenant", sa.String(200), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("request_id", sa.String(200), nullable=False),
        sa.Column("patient", sa.String(200), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("prev", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    op.create_index("ix_audit_time", "audit", ["time"])
    op.create_index("ix_audit_type_seq", "audit", ["type", "seq"])
    op.create_index("ix_audit_actor_seq", "audit", ["actor", "seq"])
    op.create_index("ix_audit_tenant_seq", "audit", ["tenant", "seq"])
    op.create_index("ix_audit_request_id", "audit", ["request_id"])
    for name, condition in (
        ("patient", sa.text("patient != ''")),
        ("model", sa.text("model != ''")),
        ("outcome", sa.text("outcome IN ('refused', 'failed')")),
    ):
        op.create_index(
            f"ix_audit_{name}_seq", "audit", [name, "seq"], sqlite_where=condition, postgresql_where=condition
        )
    op.create_table(
        "audit_checkpoints",
        sa.Column("size", _SEQ, nullable=False, autoincrement=False),
        sa.Column("head", sa.String(64), nullable=False),
        sa.Column("time", sa.String(27), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("signature", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_audit_checkpoints"),
    )


def downgrade() -> None:
    """Drop both tables: the whole log is lost."""
    op.drop_table("audit_checkpoints")
    op.drop_table("audit")
