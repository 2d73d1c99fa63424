"""Step 1 of 7: the two tables of keys. ``migrations/versions/0001_keys.py`` makes them; a test holds both equal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import JSON, Column, DateTime, ForeignKey, LargeBinary, String, Table
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
)
"""One row a key; it survives rotation."""

api_key_secrets = Table(
    "api_key_secrets",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("key_id", ForeignKey("api_keys.key_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
)
"""One row a secret: two a key while a rotation overlaps."""
