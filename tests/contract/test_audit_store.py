"""The audit log keeps its word on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, delete, text, update

from gateway.audit import finder
from gateway.audit.chain import GENESIS
from gateway.audit.events import KeyRevoked, UnfitEvent, fields_of
from gateway.audit.reader import AuditReader
from gateway.audit.search import Filters, indexed
from gateway.audit.store import AuditStore
from gateway.audit.tables import audit
from gateway.database import metadata
from gateway.errors import AuditUnavailable
from gateway.migrations import migrate
from tests.support.audit import (
    RING,
    audit_settings,
    emptied,
    engine_of,
    finished,
    recorded,
    recording,
    sqlite_url,
    unguarded,
    verified,
)
from tests.support.postgres import postgres_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "audit.db")
    return str(request.getfixturevalue("postgres"))


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_of(url)
    await migrate(engine)
    yield engine
    await emptied(engine)
    await engine.dispose()


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(engine: AsyncEngine, clock: Clock) -> AsyncIterator[AuditStore]:
    store = AuditStore(engine, RING, now=clock)
    yield store
    await store.close()


async def test_the_migrations_make_what_the_tables_say(engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[object]:
        def ours(_object: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
            return kind != "table" or str(name).startswith("audit")

        context = MigrationContext.configure(connection, opts={"include_object": ours})
        return list(compare_metadata(context, metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_records_come_back_as_they_were_linked(store: AuditStore) -> None:
    first = await store.append([finished("r1"), finished("r2")])
    second = await store.append([finished("r3")])

    assert await store.read() == [*first, *second]
    assert [record.seq for record in [*first, *second]] == [1, 2, 3]
    assert first[0].prev == GENESIS
    assert second[0].prev == first[1].head.digest
    assert await store.head() == second[0].head
    assert await store.read(after_seq=1, limit=1) == [first[1]]


async def test_one_at_a_time_holds_the_chains_end(store: AuditStore, url: str) -> None:
    """As another process would: through a connection pool of its own."""
    engine = engine_of(url)
    other = AuditStore(engine, RING)
    async with store.appending() as tail:
        waiting = asyncio.create_task(other.append([finished("second")]))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await tail.insert(tail.link([fields_of(finished("first"))]))
    assert [record.seq for record in await waiting] == [2]
    await other.close()
    await engine.dispose()


async def test_a_block_that_fails_leaves_nothing(store: AuditStore) -> None:
    async def fail() -> None:
        async with store.appending() as tail:
            await tail.insert(tail.link([fields_of(finished("never"))]))
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    await store.append([finished("r1")])

    assert [record.fields["request_id"] for record in await store.read()] == ["r1"]


async def test_an_empty_log_has_an_empty_head(store: AuditStore, url: str) -> None:
    assert (await store.head()).seq == 0
    assert await store.append([]) == []
    assert (await verified(url)).good


async def test_a_batch_is_all_or_nothing(store: AuditStore) -> None:
    with pytest.raises(UnfitEvent):
        await store.append([finished("good"), finished("x" * 201)])

    assert await store.read() == []


async def test_the_longest_values_that_pass_fit_their_columns(store: AuditStore) -> None:
    long = "ö" * 200
    await store.append([finished(long, actor=long, tenant=long, patient=long, model=long)])

    assert (await store.find(Filters(request_id=long, patient=long, model=long))).records


async def test_each_filter_finds_its_own(store: AuditStore, clock: Clock) -> None:
    events = [
        finished("r1"),
        finished("r2", actor="key_other"),
        finished("r3", tenant="elsewhere"),
        finished("r4", outcome="refused"),
        finished("r5", patient="ff"),
        finished("r6", model="chest"),
        KeyRevoked("r7", "key_abc", "st-mary", "key_z", "st-mary"),
    ]
    for event in events:
        await store.append([event])
        clock.now += timedelta(hours=1)

    async def found(filters: Filters) -> list[str]:
        return [record.fields["request_id"] for record in (await store.find(filters)).records]

    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert await found(Filters(actor="key_other")) == ["r2"]
    assert await found(Filters(tenant="elsewhere")) == ["r3"]
    assert await found(Filters(outcome="refused")) == ["r4"]
    assert await found(Filters(patient="ff")) == ["r5"]
    assert await found(Filters(model="chest")) == ["r6"]
    assert await found(Filters(type="key.revoked")) == ["r7"]
    assert await found(Filters(request_id="r1")) == ["r1"]
    assert await found(Filters(since=start + timedelta(hours=5))) == ["r7", "r6"]
    assert await found(Filters(until=start + timedelta(hours=1))) == ["r1"]
    assert await found(Filters(outcome="success", tenant="st-mary", until=start + timedelta(hours=2))) == ["r2", "r1"]
    assert await found(Filters(actor="nobody")) == []


async def test_pages_do_not_shift_when_records_are_added(store: AuditStore) -> None:
    await store.append([finished(f"r{number}") for number in range(5)])

    first = await store.find(Filters(), limit=2)
    await store.append([finished("later")])
    second = await store.find(Filters(), first.cursor, limit=2)
    third = await store.find(Filters(), second.cursor, limit=2)

    pages = [[record.seq for record in page.records] for page in (first, second, third)]
    assert pages == [[5, 4], [3, 2], [1]]
    assert third.cursor is None


async def test_a_walk_meets_every_match_once(store: AuditStore, engine: AsyncEngine) -> None:
    await store.append([finished(f"r{number}", tenant=f"t{number % 2}") for number in range(1201)])

    reader = AuditReader(engine, audit_settings())
    seen = [record.seq async for record in reader.walk(Filters(tenant="t0"))]

    assert seen == list(range(1, 1202, 2))


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (Filters(patient="ff"), "ix_audit_patient_seq"),
        (Filters(model="chest"), "ix_audit_model_seq"),
        (Filters(outcome="failed"), "ix_audit_outcome_seq"),
        (Filters(actor="key_a"), "ix_audit_actor_seq"),
        (Filters(tenant="st-mary"), "ix_audit_tenant_seq"),
        (Filters(type="key.revoked"), "ix_audit_type_seq"),
        (Filters(request_id="r1"), "ix_audit_request_id"),
        (Filters(type="key.revoked", tenant="st-mary", request_id="r1"), "ix_audit_request_id"),
    ],
)
async def test_a_search_reads_an_index(engine: AsyncEngine, filters: Filters, index: str) -> None:
    [by, *_] = indexed(filters)
    query = finder.query_of(engine.dialect.name, filters, by, 5, 10**6).limit(100)
    plain = query.compile(engine.sync_engine, compile_kwargs={"literal_binds": True})
    async with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # Right for a small table. Of one correlation ID there are few records: they may be sorted.
            for way in ("seqscan",) if by == "request_id" else ("seqscan", "bitmapscan"):
                await connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
            statement = f"EXPLAIN {plain}"
        else:
            statement = f"EXPLAIN QUERY PLAN {plain}"
        plan = str((await connection.exec_driver_sql(statement)).all())

    assert index in plan
    assert by == "request_id" or not {"Sort", "TEMP B-TREE"} & set(re.findall("Sort|TEMP B-TREE", plan))


@pytest.fixture
async def many(store: AuditStore, monkeypatch: pytest.MonkeyPatch) -> AuditStore:
    """A log that is long for its bounds: half of it of each tenant, none of the second with the first model."""
    monkeypatch.setattr(finder, "FEW", 20)
    monkeypatch.setattr(finder, "WINDOW", 50)
    monkeypatch.setattr(finder, "LOOK", 200)
    tenants = ({"tenant": "t0", "model": "chest"}, {"tenant": "t1", "model": "brain"})
    await store.append([finished(f"r{number}", **tenants[number % 2]) for number in range(1000)])
    return store


async def test_filters_that_never_meet_are_searched_piece_by_piece(many: AuditStore) -> None:
    looked: list[int | None] = [None]
    while True:
        page = await many.find(Filters(tenant="t1", model="chest"), looked[-1], 10)
        assert page.records == ()
        if page.cursor is None:
            break
        looked.append(page.cursor)

    assert looked == [None, 801, 601, 401, 201]


async def test_filters_that_are_common_fill_their_pages(many: AuditStore) -> None:
    filters = Filters(tenant="t1", model="brain", type="request.finished", outcome="success")
    first = await many.find(filters, None, 60)
    second = await many.find(filters, first.cursor, 60)

    assert [record.seq for record in first.records] == list(range(1000, 880, -2))
    assert [record.seq for record in second.records] == list(range(880, 760, -2))


async def test_a_rare_filter_leads_a_common_one(many: AuditStore) -> None:
    await many.append([finished("rare", tenant="t1", patient="ff")])
    await many.append([finished(f"later{number}", tenant="t1") for number in range(400)])

    page = await many.find(Filters(tenant="t1", patient="ff"))
    assert [record.fields["request_id"] for record in page.records] == ["rare"]
    assert page.cursor is None


async def test_times_are_found_though_clocks_differ(store: AuditStore, clock: Clock) -> None:
    """Of nodes whose clocks differ by less than an hour, all records are found by their own times."""
    start = clock.now
    times = [start + timedelta(minutes=30 * number + 40 * (number % 2)) for number in range(300)]
    for number in range(300):
        clock.now = times[number]
        await store.append([finished(f"r{number}")])
    since, until = start + timedelta(hours=50, minutes=30), start + timedelta(hours=100, minutes=30)
    assert times != sorted(times)

    page = await store.find(Filters(since=since, until=until), None, 1000)
    expected = [f"r{number}" for number in range(300) if since <= times[number] < until]
    assert [record.fields["request_id"] for record in page.records] == expected[::-1]


APPENDERS = """
import asyncio, os, sys
from tests.support.audit import finished, recording

async def append(url, name, ready, go):
    async with recording(url, timeout_seconds=20) as recorder:
        os.write(ready, b".")
        await asyncio.to_thread(os.read, go, 1)
        for turn in range(10):
            await asyncio.gather(*(recorder.record(finished(f"{name}-{turn}-{at}")) for at in range(5)))

ready, go = os.pipe(), os.pipe()
for name in range(4):
    if os.fork() == 0:
        asyncio.run(append(sys.argv[1], name, ready[1], go[0]))
        os._exit(0)
for _ in range(4):
    os.read(ready[0], 1)
os.write(go[1], b"....")
sys.exit(any(os.wait()[1] for _ in range(4)))
"""


async def test_processes_that_append_at_once_make_one_chain(engine: AsyncEngine, url: str) -> None:
    command = [sys.executable, "-c", APPENDERS, url]
    run = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, timeout=100, check=False)
    assert run.returncode == 0

    report = await verified(url)
    ids = [record["request_id"] for record in await recorded(url)]
    assert report.good
    assert report.records == report.last == report.sealed == 200
    assert len(set(ids)) == 200
    names = [name.split("-")[0] for name in ids]
    assert names != sorted(names), "they did append at the same time"


async def test_concurrent_events_share_transactions_and_each_is_there_once(engine: AsyncEngine, url: str) -> None:
    async with recording(url) as recorder:
        await asyncio.gather(*(recorder.record(finished(f"r{number}")) for number in range(300)))

    said = await recorded(url)
    assert sorted(record["request_id"] for record in said) == sorted(f"r{number}" for number in range(300))
    assert len({record["time"] for record in said}) < 100, "a transaction's records share its time"
    assert (await verified(url)).good


async def test_what_was_changed_is_found(store: AuditStore, engine: AsyncEngine, url: str) -> None:
    await store.append([finished(f"r{number}") for number in range(6)])

    async with unguarded(engine) as connection:
        await connection.execute(update(audit).where(audit.c.seq == 2).values(actor="key_mallory"))
        await connection.execute(text("UPDATE audit SET body = replace(body, 'success', 'refused') WHERE seq = 4"))
        await connection.execute(delete(audit).where(audit.c.seq == 5))
    report = await verified(url)

    integrity, order = report.verdicts["integrity"], report.verdicts["order"]
    assert (integrity.first_bad, integrity.faults) == (2, 2)
    assert order.first_bad == 5


async def test_a_cut_tail_is_found_by_the_checkpoint(engine: AsyncEngine, url: str) -> None:
    async with recording(url) as recorder:
        for number in range(5):
            await recorder.record(finished(f"r{number}"))
    assert (await verified(url)).sealed == 5

    async with unguarded(engine) as connection:
        await connection.execute(delete(audit).where(audit.c.seq > 3))
    report = await verified(url)

    assert report.verdicts["completeness"].first_bad == 4
    assert report.verdicts["integrity"].good
    assert report.verdicts["order"].good


async def test_without_a_table_all_say_that_the_log_is_unavailable(tmp_path: Path) -> None:
    engine = engine_of(sqlite_url(tmp_path / "empty.db"))
    reader = AuditReader(engine, audit_settings())
    with pytest.raises(AuditUnavailable):
        await reader.check()
    assert not (tmp_path / "empty.db").exists(), "a look makes no database"

    async with engine.begin():
        pass
    with pytest.raises(AuditUnavailable):
        await reader.verify()
    await engine.dispose()
