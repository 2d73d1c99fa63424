"""The command line: the database and the audit log, for commands that change something at the machine that has both.

A change that is not on record is not made: the log is opened first, and must answer.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import typer
from pydantic import ValidationError

from gateway.admission.administrator import OPERATOR
from gateway.cli.errors import explain_settings, fail
from gateway.errors import GatewayError
from gateway.settings import MIN_SECRET_BYTES, AuditSettings, DatabaseSettings, LogSettings, RedisSettings
from gateway.telemetry.logging import configure_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from gateway.admission.changes import Changes
    from gateway.audit.recorder import Recorder
    from gateway.database import Database

Answer = TypeVar("Answer")


def who() -> tuple[str, str, str]:
    """The first three fields of an event: an ID of this call, the actor, no tenant."""
    return str(uuid4()), OPERATOR, ""


@asynccontextmanager
async def database() -> AsyncIterator[Database]:
    """The database of ``DATABASE_URL``, brought up to date."""
    # SQLAlchemy and Alembic take a second or two to import: only the commands that need them wait for that.
    from gateway.database import create_engine  # noqa: PLC0415
    from gateway.migrations import migrate  # noqa: PLC0415

    engine = create_engine(DatabaseSettings())
    try:
        await migrate(engine)
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def database_on_record() -> AsyncIterator[tuple[Database, Recorder]]:
    """The database, and the audit log in it, which has answered."""
    from gateway.audit.recorder import Recorder  # noqa: PLC0415 - see above

    settings = _audit_settings()
    configure_logging(LogSettings(level="WARNING"), sys.stderr)  # stdout is for what was asked for

    async with database() as engine:
        recorder = Recorder(engine, settings)
        try:
            await recorder.start()
            await recorder.ping()
            yield engine, recorder
        finally:
            await recorder.close()


@asynccontextmanager
async def telling() -> AsyncIterator[Changes]:
    """Tells the running workers of what is changed, if the Redis of ``REDIS_URL`` answers; they find it anyway."""
    from gateway.admission.changes import Changes  # noqa: PLC0415 - see above

    try:
        changes = Changes(RedisSettings())
    except (ValidationError, ValueError, OSError) as error:
        raise fail(explain_settings(error) if isinstance(error, ValidationError) else str(error)) from None
    try:
        yield changes
    finally:
        await changes.close()


def run(work: Coroutine[None, None, Answer]) -> Answer:
    """Do the work; whatever goes wrong is one sentence and exit status 1."""
    try:
        return asyncio.run(work)
    except GatewayError as error:
        raise fail(error.detail or error.title) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - the driver's errors are many, and their texts may hold the URL's password
        raise fail(f"The database cannot be opened or changed ({type(error).__name__}): see DATABASE_URL") from None


def _audit_settings() -> AuditSettings:
    try:
        settings = AuditSettings()
    except (ValidationError, OSError) as error:
        raise fail(explain_settings(error) if isinstance(error, ValidationError) else str(error)) from None
    if len(settings.chain_key.get_secret_value().encode()) < MIN_SECRET_BYTES:
        raise fail(
            f"AUDIT_CHAIN_KEY needs {MIN_SECRET_BYTES} bytes or more: set AUDIT_CHAIN_KEY or AUDIT_CHAIN_KEY_FILE. "
            "A change that is not on record is not made"
        )
    return settings
