"""An audit log to write to, to look at, and to tamper with."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager, closing
from itertools import product
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import SecretStr

from gateway.audit.chain import Head, Record, canonical, digest, time_text
from gateway.audit.events import RequestFinished
from gateway.audit.keys import ChainKey, KeyRing
from gateway.audit.reader import AuditReader
from gateway.audit.recorder import Recorder
from gateway.database import create_engine
from gateway.migrations import migrate
from gateway.settings import AuditSettings, DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from gateway.audit.verify import Report

CHAIN_KEY = "a chain key for tests, 32 bytes or more"
RING = KeyRing([ChainKey.of(CHAIN_KEY.encode())])


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


TABLES = ("audit", "audit_checkpoints", "audit_truncations")


def of_schema_1(secret: bytes, fields: dict[str, Any], head: Head, time: datetime) -> Record:
    """As the first schemas were linked: by the hash, and no key is named."""
    body = canonical({**fields, "schema": 1, "seq": head.seq + 1, "time": time_text(time), "prev": head.hash})
    return Record(head.seq + 1, body.decode(), head.hash, digest(secret, body), orjson.loads(body))


@asynccontextmanager
async def unguarded(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction in which the log can be changed, as its owner can who takes the triggers away."""
    sqlite = engine.dialect.name == "sqlite"
    async with engine.begin() as connection:
        for table, what in product(TABLES, ("update", "delete")):
            away = f"DROP TRIGGER IF EXISTS {table}_no_{what}"
            await connection.exec_driver_sql(away if sqlite else f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield connection
        for table in () if sqlite else TABLES:
            await connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def emptied(engine: AsyncEngine) -> None:
    """Take all that the log holds."""
    async with unguarded(engine) as connection:
        for table in TABLES:
            await connection.exec_driver_sql(f"DELETE FROM {table}")


def tamper(database: Path, *statements: str) -> None:
    """Change the file behind everyone's back, as whoever has the file can: the triggers go first."""
    with closing(sqlite3.connect(database)) as connection, connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'audit'").fetchone():
            for table, what in product(TABLES, ("update", "delete")):
                connection.execute(f"DROP TRIGGER IF EXISTS {table}_no_{what}")
        for statement in statements:
            connection.execute(statement)
