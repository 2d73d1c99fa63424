"""An audit log to write to, to look at, and to tamper with."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from gateway.audit.events import RequestFinished
from gateway.audit.reader import AuditReader
from gateway.audit.recorder import Recorder
from gateway.database import create_engine
from gateway.migrations import migrate
from gateway.settings import AuditSettings, DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from gateway.audit.verify import Report

CHAIN_KEY = "a chain key for tests, 32 bytes or more"


def audit_settings(**changes: Any) -> AuditSettings:
    return AuditSettings(chain_key=SecretStr(CHAIN_KEY), **changes)


def engine_of(url: str) -> AsyncEngine:
    return create_engine(DatabaseSettings(url=SecretStr(url)))


def sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def finished(request_id: str = "r1", **changes: Any) -> RequestFinished:
    """What a prediction's record holds."""
    fields: dict[str, Any] = {
        "actor": "key_abc",
        "tenant": "st-mary",
        "route": "POST /v1/predict",
        "address": "192.0.2.7",
        "outcome": "success",
        "status": 200,
        "media_type": "application/dicom",
        "input_digest": "1f" * 32,
        "tensor_digest": "2e" * 32,
        "patient": "3d" * 16,
        "model": "brain-mri",
        "model_version": "1",
        "model_digest": "4c" * 32,
        "prediction": "Gliom ö",
        "deidentification": {"actions": {"removed": 12}, "masked_share": 0.25},
        "milliseconds": {"ingest": 3, "infer": 40},
    }
    return RequestFinished(request_id, **(fields | changes))


@asynccontextmanager
async def recording(url: str, **changes: Any) -> AsyncIterator[Recorder]:
    """An open recorder on a migrated database."""
    engine = engine_of(url)
    try:
        await migrate(engine)
        recorder = Recorder(engine, audit_settings(**changes))
        await recorder.start()
        try:
            yield recorder
        finally:
            await recorder.close()
    finally:
        await engine.dispose()


async def verified(url: str, **changes: Any) -> Report:
    engine = engine_of(url)
    try:
        return await AuditReader(engine, audit_settings(**changes)).verify()
    finally:
        await engine.dispose()


async def request_ids(url: str) -> list[str]:
    """Of every record, in the order of the chain."""
    return [record["request_id"] for record in await recorded(url)]


async def recorded(url: str) -> list[dict[str, Any]]:
    """What every record says, in the order of the chain."""
    from gateway.audit.search import Filters

    engine = engine_of(url)
    try:
        reader = AuditReader(engine, audit_settings())
        return [dict(record.fields) async for record in reader.walk(Filters())]
    finally:
        await engine.dispose()


def tamper(database: Path, *statements: str) -> None:
    """Change the file behind everyone's back."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
