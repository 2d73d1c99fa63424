"""The audit log takes additions alone, and what was given up by a signed statement may go.

Triggers refuse a change or a removal, whoever asks: they stop mistakes and a role that may not alter the schema.
Whoever may drop them is found by verification.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = ("audit", "audit_checkpoints", "audit_truncations")
_GIVEN_UP = "OLD.seq > coalesce((SELECT max(size) FROM audit_truncations), 0)"
_FUNCTION = """
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit log takes additions alone' USING ERRCODE = 'restrict_violation';
END $$
"""


def upgrade() -> None:
    """Add the public digest of checkpoints, the table of truncations, and the triggers."""
    op.add_column("audit_checkpoints", sa.Column("digest", sa.String(64), nullable=False, server_default=""))
    op.create_table(
        "audit_truncations",
        sa.Column("size", _SEQ, nullable=False, autoincrement=False),
        sa.Column("head", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("time", sa.String(27), nullable=False),
        sa.Column("before", sa.String(27), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("signature", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_audit_truncations"),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    if not sqlite:
        op.execute(_FUNCTION)
    for table in _TABLES:
        deleted = f"WHEN ({_GIVEN_UP})" if table == "audit" else ""
        if sqlite:
            refuse = "BEGIN SELECT RAISE(ABORT, 'the audit log takes additions alone'); END"
            op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}")
            op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {deleted} {refuse}")
            continue
        refuse = "EXECUTE FUNCTION audit_is_append_only()"
        op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH ROW {refuse}")
        # A condition of PostgreSQL may hold no query: what was given up is looked up by a function.
        if table == "audit":
            op.execute(
                "CREATE FUNCTION audit_refuses_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF {_GIVEN_UP} THEN RAISE EXCEPTION 'the audit log takes additions alone'"
                " USING ERRCODE = 'restrict_violation'; END IF; RETURN OLD; END $$"
            )
            refuse_delete = "EXECUTE FUNCTION audit_refuses_delete()"
        else:
            refuse_delete = refuse
        op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} FOR EACH ROW {refuse_delete}")
        op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}")


def downgrade() -> None:
    """Drop the triggers, the table and the column. Records that were given up do not come back."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table in _TABLES:
        for what in ("update", "delete", *(() if sqlite else ("truncate",))):
            op.execute(f"DROP TRIGGER {table}_no_{what}" + ("" if sqlite else f" ON {table}"))
    if not sqlite:
        op.execute("DROP FUNCTION audit_is_append_only()")
        op.execute("DROP FUNCTION audit_refuses_delete()")
    op.drop_table("audit_truncations")
    op.drop_column("audit_checkpoints", "digest")
