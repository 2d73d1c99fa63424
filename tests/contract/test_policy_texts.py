"""The texts of policies are kept once each, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from gateway.audit.policy_texts import PolicyTexts, digest_of, policy_texts
from gateway.database import create_engine
from gateway.migrations import migrate
from gateway.settings import DatabaseSettings
from tests.support.postgres import postgres_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    sqlite = request.param == "sqlite"
    url = f"sqlite+aiosqlite:///{tmp_path}/policies.db" if sqlite else request.getfixturevalue("postgres")
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    await migrate(engine)
    yield engine
    async with engine.begin() as connection:
        await connection.execute(policy_texts.delete())
    await engine.dispose()


async def test_processes_that_start_at_once_keep_the_same_texts(engine: AsyncEngine, tmp_path: Path) -> None:
    contents = {"access": "rôles: {}\n".encode(), "plans": b"plans: {}\n", "twin": b"plans: {}\n"}
    processes = [PolicyTexts(engine) for _ in range(4)]
    await asyncio.gather(*(each.keep({name: tmp_path / name for name in contents}, contents) for each in processes))
    for content in contents.values():
        assert await processes[0].find(digest_of(content)) == content.decode()
    assert await processes[0].find("0" * 64) is None
    assert processes[0].in_force["access"] == "rôles: {}\n"


async def test_what_was_in_force_stays(engine: AsyncEngine, tmp_path: Path) -> None:
    texts = PolicyTexts(engine)
    await texts.keep({"plans": tmp_path}, {"plans": b"one"})
    await texts.keep({"plans": tmp_path}, {"plans": b"two"})
    assert await texts.find(digest_of(b"one")) == "one"
    assert texts.in_force == {"plans": "two"}
