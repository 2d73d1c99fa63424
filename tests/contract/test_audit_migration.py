"""A log of an older version: after the migration its records and checkpoints still verify, and it goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

import gateway.migrations
from gateway.audit.chain import EMPTY, Head
from gateway.audit.checkpoints import Signer, checkpoint
from gateway.audit.events import fields_of
from gateway.audit.tables import row_of
from gateway.migrations import migrate
from tests.support.audit import (
    CHAIN_KEY,
    emptied,
    engine_of,
    finished,
    of_schema_1,
    recorded,
    recording,
    sqlite_url,
    verified,
)
from tests.support.postgres import postgres_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

BEFORE = "0007"
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "audit.db")
        return
    with postgres_url() as url:
        yield url


def upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(gateway.migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, BEFORE)


async def fill(engine: AsyncEngine) -> None:
    """Five records and a checkpoint over them, as the version before wrote them."""
    head: Head = EMPTY
    async with engine.begin() as connection:
        for number in range(5):
            record = of_schema_1(CHAIN_KEY.encode(), fields_of(finished(f"old{number}")), head, NOON)
            row = row_of(record)
            names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
            await connection.execute(text(f"INSERT INTO audit ({names}) VALUES ({marks})"), row)
            head = record.head
        said = checkpoint(Signer(CHAIN_KEY.encode()), Head(head.seq, head.hash), NOON).members()
        names = ("size", "head", "time", "key_id", "signature")
        marks = ", ".join(f":{name}" for name in names)
        await connection.execute(
            text(f"INSERT INTO audit_checkpoints ({', '.join(names)}) VALUES ({marks})"),
            {name: said[name] for name in names},
        )


async def test_old_records_verify_after_the_migration_and_new_ones_follow(url: str) -> None:
    engine = engine_of(url)
    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
    await fill(engine)

    await migrate(engine)
    old = await verified(url)
    assert old.good, old
    assert (old.records, old.sealed) == (5, 5)

    async with recording(url) as recorder:
        await recorder.record(finished("new"))
    new = await verified(url)
    assert new.good, new
    said = await recorded(url)
    assert [each["schema"] for each in said] == [1] * 5 + [3] * 2
    assert said[5]["type"] == "audit.key-changed"
    await emptied(engine)
    await engine.dispose()
