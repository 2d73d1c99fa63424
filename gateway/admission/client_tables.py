"""Step 1 of 7: the two tables of clients, as ``migrations/versions/0007_clients.py`` makes them."""

from __future__ import annotations

from sqlalchemy import JSON, Column, LargeBinary, String, Table

from gateway.admission.key_tables import UtcDateTime
from gateway.database import metadata

clients = Table(
    "clients",
    metadata,
    Column("client_id", String(32), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("tenant", String(64), nullable=False, index=True),
    Column("scopes", JSON, nullable=False),
    Column("plan", String(64), nullable=False),
    Column("jwks", JSON(none_as_null=True)),
    Column("jwks_url", String(1000), nullable=False),
    Column("note", String(500), nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("disabled_at", UtcDateTime),
    Column("removed_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
)
"""One row a client. It is never deleted: the audit log names clients by their IDs alone."""

used_assertions = Table(
    "used_assertions",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)
"""One row an assertion that was taken: the digest of its client and ``jti``; it may go when it would be too old."""
