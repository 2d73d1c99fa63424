"""Step 1 of 7: the tables of keys, of their secrets, and of requests for keys that wait for a second pair of eyes.

``migrations/versions/`` makes them; a test holds both equal.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import JSON, Column, DateTime, ForeignKey, Integer, LargeBinary, String, Table
from sqlalchemy.types import TypeDecorator

from gateway.database import metadata

if TYPE_CHECKING:
    from sqlalchemy import Dialect


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC, in and out. SQLite forgets the zone, PostgreSQL answers in the session's."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; a time without a zone is a defect and refused."""
        del dialect
        if value is not None and value.tzinfo is None:
            raise ValueError("a time needs a zone")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To an aware time in UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("tenant", String(64), nullable=False, index=True),
    Column("scopes", JSON, nullable=False),
    Column("plan", String(64), nullable=False),
    Column("addresses", JSON, nullable=False),
    Column("note", String(500), nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("limits", JSON(none_as_null=True)),
    Column("break_glass", String(32), nullable=False, server_default=""),
)
"""One row a key; it survives rotation. ``revision`` counts its changes."""

api_key_secrets = Table(
    "api_key_secrets",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("key_id", ForeignKey("api_keys.key_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
)
"""One row a secret: two a key while a rotation overlaps."""

key_requests = Table(
    "key_requests",
    metadata,
    Column("request_id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("tenant", String(64), nullable=False, index=True),
    Column("change", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("digest", LargeBinary(32)),
    Column("requested_by", String(64), nullable=False),
    Column("person", String(200), nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("decision", String(16)),
    Column("decided_by", String(64)),
    Column("decided_at", UtcDateTime),
)
"""One row a request. ``digest`` is that of the secret it would put into force; it goes when the request is decided."""
