"""The SQL engine that keys and audit share: SQLite on one machine, PostgreSQL beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlencode

from sqlalchemy import MetaData, event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

if TYPE_CHECKING:
    from gateway.settings import DatabaseSettings

Database: TypeAlias = AsyncEngine
"""What the parts that keep something in SQL are given."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Every table of the gateway is declared on this, so that Alembic sees them all."""

_LIBPQ_TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
"""https://www.postgresql.org/docs/17/libpq-connect.html: asyncpg knows them in a URL of its own alone."""


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """An engine whose commits are durable when they return, and whose errors do not quote what was to be stored."""
    url = make_url(settings.url.get_secret_value())
    if url.get_backend_name() != "sqlite":
        tls = {name: value for name, value in url.query.items() if name in _LIBPQ_TLS}
        return create_async_engine(
            url.difference_update_query(tls),
            hide_parameters=True,
            pool_size=5,
            max_overflow=5,
            pool_timeout=2,
            pool_pre_ping=True,
            connect_args={"dsn": f"postgresql:///?{urlencode(tls, doseq=True)}"} if tls else {},
        )
    engine = create_async_engine(url, hide_parameters=True, connect_args={"timeout": 2})

    @event.listens_for(engine.sync_engine, "connect")
    def _durable(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # WAL with NORMAL loses the last commits at a power cut
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    return engine
