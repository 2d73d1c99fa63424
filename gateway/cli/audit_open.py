"""The command line: the audit log opened, and the options that its commands share."""

from __future__ import annotations

import asyncio
import re
import sys
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.audit.events import EVENT_TYPES, SYSTEM, AuditRead
from gateway.audit.exporting import Reader
from gateway.audit.reader import AuditReader
from gateway.audit.recorder import Recorder
from gateway.cli.errors import explain_settings, fail
from gateway.database import create_engine
from gateway.errors import GatewayError
from gateway.settings import MIN_SECRET_BYTES, AuditSettings, DatabaseSettings, LogSettings
from gateway.telemetry.logging import configure_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from gateway.audit.search import Filters
    from gateway.database import Database

Answer = TypeVar("Answer")

_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def _time(text: str) -> datetime:
    """A time in UTC, or how long ago: ``2026-01-31T12:00Z``, ``2026-01-31``, ``90m``."""
    if match := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return datetime.now(UTC) - int(match[1]) * _UNITS[match[2]]
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write a date, a time in UTC, or how long ago: 2026-01-31, 90m, 7d") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _type(text: str) -> str:
    if text not in EVENT_TYPES:
        raise typer.BadParameter(f"there are: {', '.join(EVENT_TYPES)}")
    return text


Since = Annotated[datetime | None, typer.Option(parser=_time, metavar="TIME", help="Not before: a time, or 90m, 7d")]
Until = Annotated[datetime | None, typer.Option(parser=_time, metavar="TIME", help="Before: a time, or 90m, 7d")]
Type = Annotated[str | None, typer.Option("--type", parser=_type, metavar="TYPE", help="request.finished, ...")]
Actor = Annotated[str | None, typer.Option(help="Public ID of the key")]
Tenant = Annotated[str | None, typer.Option(help="Organisation")]
Outcome = Annotated[str | None, typer.Option(help="success, refused or failed")]
Request = Annotated[str | None, typer.Option("--request", metavar="ID", help="Correlation ID")]
Patient = Annotated[str | None, typer.Option(metavar="PSEUDONYM", help="The patient's pseudonym")]
Model = Annotated[str | None, typer.Option(help="Model")]


def settings_of_log() -> AuditSettings:
    """With the chain's key, or a word on what is missing."""
    try:
        settings = AuditSettings()
    except (ValidationError, ValueError, OSError) as error:
        raise fail(explain_settings(error)) from None
    if len(settings.chain_key.get_secret_value().encode()) < MIN_SECRET_BYTES:
        raise fail("AUDIT_CHAIN_KEY is not set: set it, or AUDIT_CHAIN_KEY_FILE, to what the gateway has")
    return settings


def whoever() -> Reader:
    """Who works at the machine: the record says ``system``, and which command by its correlation ID."""
    return Reader(str(uuid.uuid4()), SYSTEM, "", all_tenants=True)


@asynccontextmanager
async def engine_of_log() -> AsyncIterator[Database]:
    """The database; closed at the end."""
    engine = create_engine(DatabaseSettings())
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def recording(engine: Database, settings: AuditSettings) -> AsyncIterator[Recorder]:
    """A recorder of this command's own."""
    configure_logging(LogSettings(level="WARNING"), sys.stderr)  # stdout is for the records
    recorder = Recorder(engine, settings)
    await recorder.start()
    try:
        yield recorder
    finally:
        await recorder.close()


@asynccontextmanager
async def opened(
    settings: AuditSettings, action: Literal["list"] | None = None, filters: Filters | None = None
) -> AsyncIterator[AuditReader]:
    """The log. With an action: after it is on record that someone here reads it."""
    async with engine_of_log() as engine:
        reader = AuditReader(engine, settings)
        await reader.check()
        if action:
            who, names = whoever(), filters.names() if filters else ()
            async with recording(engine, settings) as recorder:
                await recorder.record(AuditRead(who.request_id, who.actor, "", action, names, all_tenants=True))
        yield reader


def run(work: Coroutine[None, None, Answer]) -> Answer:
    """To its end; an error is one line."""
    try:
        return asyncio.run(work)
    except GatewayError as error:
        raise fail(error.detail or error.title) from None
    except BrokenPipeError:
        raise typer.Exit(0) from None


def bar(what: str, **options: Any) -> Progress:
    """A progress bar on stderr, which goes when it is done."""
    return Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        **options,
    )
