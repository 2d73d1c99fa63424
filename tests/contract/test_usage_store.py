"""Usage keeps its counts on SQLite and on PostgreSQL alike, whoever adds to them and however often."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, select

from gateway.admission.usage import UsageCounter
from gateway.admission.usage_report import together
from gateway.admission.usage_store import Asked, UsageStore
from gateway.admission.usage_tables import MEASURES, usage, usage_writers
from gateway.database import create_engine, metadata
from gateway.migrations import migrate
from gateway.settings import DatabaseSettings
from tests.support.postgres import postgres_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

TODAY = date(2026, 1, 31)
ALL = Asked(date(2000, 1, 1), date(2100, 1, 1))


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/usage.db"
    return str(request.getfixturevalue("postgres"))


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    await migrate(engine)
    yield engine
    async with engine.begin() as connection:
        await connection.execute(usage.delete())
        await connection.execute(usage_writers.delete())
    await engine.dispose()


@pytest.fixture
def store(engine: AsyncEngine) -> UsageStore:
    return UsageStore(engine)


def row(day: date = TODAY, tenant: str = "a", key_id: str = "key_1", **counts: int) -> tuple[object, ...]:
    return (day, tenant, key_id, *(counts.get(name, 0) for name in MEASURES))


async def test_counts_of_many_writers_add_up(store: UsageStore) -> None:
    for writer in ("one", "two"):
        for batch in (1, 2, 3):
            assert await store.add(writer, batch, [row(requests=5, frames=2, ms_7=1)])
    [found] = await store.find(ALL, None, 10)
    assert (found.requests, found.frames, found.latency_count) == (30, 12, 6)
    assert (found.day, found.tenant, found.key_id) == (TODAY, "a", "key_1")


async def test_a_batch_that_is_sent_again_is_not_added_again(store: UsageStore) -> None:
    assert await store.add("one", 1, [row(requests=5)])
    assert not await store.add("one", 1, [row(requests=5)])
    assert await store.add("one", 2, [row(requests=1)])
    [found] = await store.find(ALL, None, 10)
    assert found.requests == 6


async def test_writers_of_the_same_rows_in_other_orders_do_not_wait_for_each_other(store: UsageStore) -> None:
    rows = [row(key_id=f"key_{n}", requests=1) for n in range(50)]
    await asyncio.gather(*(store.add(f"w{n}", 1, rows[::-1] if n % 2 else rows) for n in range(4)))
    found = await store.find(ALL, None, 100)
    assert [each.requests for each in found] == [4] * 50


async def test_pages_are_the_newest_day_first_and_leave_nothing_out(store: UsageStore) -> None:
    rows = [
        row(TODAY - timedelta(days), tenant, f"key_{n}", requests=1)
        for days in range(3)
        for tenant in ("a", "b")
        for n in range(4)
    ]
    await store.add("one", 1, rows)
    seen, after = [], None
    while page := await store.find(ALL, after, 5):
        seen += page
        after = page[-1]
    places = [(each.day, each.tenant, each.key_id) for each in seen]
    assert len(places) == len(set(places)) == 24
    assert places == sorted(places, key=lambda place: (-place[0].toordinal(), *place[1:]))
    assert [each async for page in store.walk(ALL) for each in page] == seen

    mine = await store.find(Asked(TODAY, TODAY, "a"), None, 100)
    assert {(each.day, each.tenant) for each in mine} == {(TODAY, "a")}
    [one] = await store.find(Asked(TODAY, TODAY, "a", "key_3"), None, 100)
    assert one.key_id == "key_3"


async def test_a_name_that_is_too_long_holds_nothing_up(store: UsageStore) -> None:
    counter = UsageCounter(store, seconds=60, keep_days=36500)
    for key_id in ("k" * 100, "key_1"):
        counter.note(key_id, "t" * 100, status=200, problem="", frames=0, bytes_in=0, seconds=0.001)
    await counter.flush()
    assert {row.key_id for row in await store.find(ALL, None, 10)} == {"k" * 64, "key_1"}


async def test_old_rows_go(store: UsageStore, engine: AsyncEngine) -> None:
    await store.add("one", 1, [row(TODAY - timedelta(days=10), requests=1), row(requests=1)])
    await store.remove_before(TODAY - timedelta(days=5))
    assert [each.day for each in await store.find(ALL, None, 10)] == [TODAY]
    async with engine.begin() as connection:
        long_ago = datetime.now(UTC) - timedelta(days=9)
        await connection.execute(usage_writers.update().values(written_at=long_ago))
    await store.remove_before(TODAY - timedelta(days=5))
    async with engine.connect() as connection:
        assert (await connection.execute(select(usage_writers.c.writer))).all() == []


async def test_the_migrated_tables_are_the_declared_ones(engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[object]:
        def only_ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
            return kind != "table" or name in {"usage", "usage_writers"}

        context = MigrationContext.configure(connection, opts={"include_object": only_ours, "compare_type": True})
        return compare_metadata(context, metadata)

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


WORKER = """
import asyncio, sys
from pydantic import SecretStr
from gateway.admission.usage import UsageCounter
from gateway.admission.usage_store import UsageStore
from gateway.database import create_engine
from gateway.settings import DatabaseSettings

async def main(url, requests):
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    counter = UsageCounter(UsageStore(engine), seconds=0.01, keep_days=36500)
    counter.start()
    for n in range(requests):
        denied = n % 4 == 0
        counter.note(f"key_{n % 7}", "a", status=429 if denied else 200, problem="quota-exceeded" if denied else "",
                     frames=0 if denied else 3, bytes_in=10, seconds=0.004)
        if n % 50 == 0:
            await asyncio.sleep(0.005)
    await counter.close()
    await engine.dispose()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


KILLED = (
    WORKER.partition("async def main")[0]
    + """
import os

async def main(url):
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    counter = UsageCounter(UsageStore(engine), seconds=0.05, keep_days=36500)
    counter.start()
    for _ in range(100):
        counter.note("key_1", "a", status=200, problem="", frames=1, bytes_in=1, seconds=0.001)
    while counter._tallies or counter._batch:
        await asyncio.sleep(0.01)
    counter._seconds = 60
    for _ in range(7):
        counter.note("key_1", "a", status=200, problem="", frames=1, bytes_in=1, seconds=0.001)
    os._exit(9)

asyncio.run(main(sys.argv[1]))
"""
)


async def test_a_killed_process_loses_what_it_had_not_written_and_no_more(url: str, store: UsageStore) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, url)
    assert await process.wait() == 9
    [row] = await store.find(ALL, None, 10)
    assert 100 <= row.requests < 107


async def test_counts_of_several_processes_are_exact(url: str, store: UsageStore) -> None:
    command = [sys.executable, "-c", WORKER, url, "3000"]
    processes = [await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE) for _ in range(2)]
    for process in processes:
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        assert b"usage.lost" not in errors
    rows = await store.find(ALL, None, 100)
    assert {each.key_id for each in rows} == {f"key_{n}" for n in range(7)}
    total = together(rows)
    assert total is not None
    assert (total.requests, total.denied_limit, total.succeeded, total.caller_errors) == (6000, 1500, 4500, 0)
    assert (total.frames, total.bytes_in, total.latency_count) == (13_500, 60_000, 4500)
    assert total.latency_us == 4500 * 4000
    assert total.buckets[3] == 4500  # up to 5 ms
