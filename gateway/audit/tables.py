"""Step 7 of 7: the tables of the log. ``migrations/versions`` makes them; a test holds both equal.

``body`` is the record. The other columns repeat parts of it, for search; verification holds them against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from gateway.database import metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.audit.chain import Record

_SEQ = BigInteger().with_variant(Integer, "sqlite")  # there, only INTEGER PRIMARY KEY is the row's own number

REPEATED = ("time", "type", "actor", "tenant", "outcome", "request_id", "patient", "model")
"""Members of the body that have a column; empty text where the body has no such member."""

audit = Table(
    "audit",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=False),
    Column("time", String(27), nullable=False),
    Column("type", String(32), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("tenant", String(200), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("request_id", String(200), nullable=False),
    Column("patient", String(200), nullable=False),
    Column("model", String(200), nullable=False),
    Column("body", Text, nullable=False),
    Column("prev", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
"""One row a record. ``time`` is text of fixed width in UTC: its order is time's order on every database."""

# With seq at the end an index answers "the newest of these" without a sort.
Index("ix_audit_time", audit.c.time)
Index("ix_audit_type_seq", audit.c.type, audit.c.seq)
Index("ix_audit_actor_seq", audit.c.actor, audit.c.seq)
Index("ix_audit_tenant_seq", audit.c.tenant, audit.c.seq)
Index("ix_audit_request_id", audit.c.request_id)
# Most records have no patient, are about no model and succeed: an index of the others stays small.
_HAS_PATIENT = audit.c.patient != ""
_HAS_MODEL = audit.c.model != ""
_NOT_SUCCESS = audit.c.outcome.in_(("refused", "failed"))
Index("ix_audit_patient_seq", audit.c.patient, audit.c.seq, sqlite_where=_HAS_PATIENT, postgresql_where=_HAS_PATIENT)
Index("ix_audit_model_seq", audit.c.model, audit.c.seq, sqlite_where=_HAS_MODEL, postgresql_where=_HAS_MODEL)
Index("ix_audit_outcome_seq", audit.c.outcome, audit.c.seq, sqlite_where=_NOT_SUCCESS, postgresql_where=_NOT_SUCCESS)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("size", _SEQ, primary_key=True, autoincrement=False),
    Column("head", String(64), nullable=False),
    Column("time", String(27), nullable=False),
    Column("key_id", String(16), nullable=False),
    Column("signature", String(128), nullable=False),
    Column("digest", String(64), nullable=False, server_default=""),
)
"""One row a signed statement that the log had ``size`` records, the last with the hash ``head``."""

audit_truncations = Table(
    "audit_truncations",
    metadata,
    Column("size", _SEQ, primary_key=True, autoincrement=False),
    Column("head", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("time", String(27), nullable=False),
    Column("before", String(27), nullable=False),
    Column("key_id", String(16), nullable=False),
    Column("signature", String(128), nullable=False),
)
"""One row a signed statement that the records up to ``size`` were given up. Triggers let no other record be deleted."""


def row_of(record: Record) -> dict[str, Any]:
    """The record as a row of ``audit``."""
    return {
        "seq": record.seq,
        "body": record.body,
        "prev": record.prev,
        "hash": record.hash,
        **repeated(record.fields),
    }


def repeated(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that repeat parts of the body, as the body has them."""
    return {name: fields.get(name, "") for name in REPEATED}
