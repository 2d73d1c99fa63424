"""The schema's history, and the one way to bring a database up to date: ``migrate``.

Revisions are in ``versions/``, numbered in order; each names the one before it in ``down_revision``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

log = structlog.get_logger(__name__)

_ADVISORY_LOCK = 0x636F72646F6E  # "cordon"; any number that nothing else in the database locks
_PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.1


async def migrate(engine: AsyncEngine) -> None:
    """Bring the database to the newest revision.

    Does nothing to one that is there already, or further: a newer release has been there, whose revisions add and do
    not take away, so that this release can be gone back to.

    Several processes may start at once: one migrates, the rest wait for it. All revisions run in one transaction, so a
    failure leaves the database as it was. The folder of a SQLite file is made, readable by its owner only.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database cannot be reached, or stays locked for 30 s.
        OSError: The folder of the SQLite file cannot be made, or the server cannot be reached.
    """
    sqlite = engine.dialect.name == "sqlite"
    if sqlite and engine.url.database not in (None, "", ":memory:"):
        await asyncio.to_thread(_make_folder, engine.url.database)
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while True:
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_upgrade)
            return
        except OperationalError as error:
            # SQLite does not always wait for a lock: switching to WAL and upgrading a read lock fail at once.
            if not (sqlite and "locked" in str(error.orig)) or asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


def _make_folder(database: str) -> None:
    Path(database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # the write lock, before the revision is read
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    newest = ScriptDirectory.from_config(config).get_current_head()
    present = MigrationContext.configure(connection).get_current_revision()
    if present is not None and newest is not None and present > newest:  # they are numbered, "0010" after "0009"
        log.warning("migrations.database-is-newer", database=present, release=newest)
        return
    command.upgrade(config, "head")
