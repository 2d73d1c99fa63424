"""The audit store away, full, locked or slow; writers killed: a clear error in time, and nothing lost or doubled."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
import uvloop
from sqlalchemy import event

from gateway.audit.recorder import Recorder
from gateway.errors import AuditUnavailable
from gateway.migrations import migrate
from tests.support.audit import (
    audit_settings,
    engine_of,
    finished,
    recording,
    request_ids,
    sqlite_url,
    tamper,
    verified,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process holds the write lock."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


async def refused_in_time(recorder: Recorder, request_id: str, seconds: float) -> None:
    began = time.monotonic()
    with pytest.raises(AuditUnavailable):
        await recorder.record(finished(request_id))
    assert time.monotonic() - began < seconds + 1.0  # a second for a busy machine


async def test_a_locked_store_refuses_in_time_and_what_was_refused_is_never_written(database: Path) -> None:
    async with recording(sqlite_url(database), timeout_seconds=0.3) as recorder:
        await recorder.record(finished("before"))
        with locked(database):
            await asyncio.gather(*(refused_in_time(recorder, f"refused{number}", 0.3) for number in range(5)))
        await recorded_at_last(recorder, "after")

    ids = await request_ids(sqlite_url(database))
    assert ids == ["before", "after"]
    assert (await verified(sqlite_url(database))).good


async def recorded_at_last(recorder: Recorder, request_id: str) -> None:
    """The store is well again: within a few seconds a record is taken."""
    async with asyncio.timeout(15):
        while True:
            try:
                await recorder.record(finished(request_id))
            except AuditUnavailable:
                continue
            return


async def test_a_lock_that_ends_in_time_costs_time_alone(database: Path) -> None:
    async with recording(sqlite_url(database), timeout_seconds=10) as recorder:
        with locked(database):
            waiting = [asyncio.create_task(recorder.record(finished(f"r{number}"))) for number in range(20)]
            await asyncio.sleep(0.2)
            assert not any(task.done() for task in waiting)
        await asyncio.gather(*waiting)

    assert sorted(await request_ids(sqlite_url(database))) == sorted(f"r{number}" for number in range(20))


async def test_a_cancelled_callers_event_is_written_however_long_it_takes(database: Path) -> None:
    async with recording(sqlite_url(database), timeout_seconds=0.3) as recorder:
        with locked(database):
            task = asyncio.create_task(recorder.record(finished("cancelled")))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await refused_in_time(recorder, "refused", 0.3)
            await asyncio.sleep(0.5)  # longer than any time limit of a record
        await recorded_at_last(recorder, "after")

    assert await request_ids(sqlite_url(database)) == ["cancelled", "after"]


@asynccontextmanager
async def on_pragma(database: Path, **changes: Any) -> AsyncIterator[tuple[Recorder, dict[str, str]]]:
    """A recorder whose new connections get these PRAGMAs: how SQLite itself is made to fail."""
    engine: AsyncEngine = engine_of(sqlite_url(database))
    pragmas: dict[str, str] = {}

    @event.listens_for(engine.sync_engine, "checkout")
    def _set(connection: Any, _record: Any, _proxy: Any) -> None:
        for name, value in pragmas.items():
            connection.execute(f"PRAGMA {name}={value}")

    await migrate(engine)
    recorder = Recorder(engine, audit_settings(**changes))
    await recorder.start()
    try:
        yield recorder, pragmas
    finally:
        await recorder.close()
        await engine.dispose()


@pytest.mark.parametrize(
    ("sick", "well", "code"),
    [
        ({"query_only": "1"}, {"query_only": "0"}, "SQLITE_READONLY"),
        ({"max_page_count": "1"}, {"max_page_count": "1000000"}, "SQLITE_FULL"),
    ],
    ids=["read-only", "full"],
)
async def test_a_store_that_takes_nothing_refuses_in_time_and_recovers_without_a_gap(
    database: Path, sick: dict[str, str], well: dict[str, str], code: str
) -> None:
    async with on_pragma(database, timeout_seconds=0.4) as (recorder, pragmas):
        await recorder.record(finished("before"))
        pragmas.update(sick)
        await recorder._store.close()  # the next append is on another connection
        with structlog.testing.capture_logs() as lines:
            await asyncio.gather(*(fill(recorder, f"refused{number}") for number in range(60)))
        pragmas.update(well)
        await recorded_at_last(recorder, "after")

    said = [line for line in lines if line["event"] == "audit.store_failed"]
    assert any(code in line["error"] for line in said)
    assert "192.0.2.7" not in str(lines)
    ids = await request_ids(sqlite_url(database))
    report = await verified(sqlite_url(database))
    assert ids[0] == "before"
    assert ids[-1] == "after"
    assert not [name for name in ids if name.startswith("refused")]
    assert report.good
    assert report.last == len(ids)


async def fill(recorder: Recorder, request_id: str) -> None:
    """A record larger than what is free on a page that is in use."""
    details = {f"group{number}": "x" * 200 for number in range(200)}
    with pytest.raises(AuditUnavailable):
        await recorder.record(finished(request_id, deidentification=details))


async def test_a_missing_table_is_a_clear_error_at_the_start(database: Path) -> None:
    engine = engine_of(sqlite_url(database))
    recorder = Recorder(engine, audit_settings(timeout_seconds=0.2))

    with pytest.raises(AuditUnavailable):
        await recorder.start()
    with pytest.raises(AuditUnavailable):
        await recorder.record(finished())
    await engine.dispose()


async def test_ping_tells_whether_a_record_could_be_written(database: Path) -> None:
    async with recording(sqlite_url(database), timeout_seconds=0.3) as recorder:
        await recorder.ping()
        with locked(database), pytest.raises(AuditUnavailable):
            await recorder.ping()

    assert await request_ids(sqlite_url(database)) == []


async def test_a_full_queue_refuses_at_once(database: Path) -> None:
    async with recording(sqlite_url(database), timeout_seconds=5, queue_size=3) as recorder:
        with locked(database):
            waiting = [asyncio.create_task(recorder.record(finished(f"r{number}"))) for number in range(3)]
            await asyncio.sleep(0)
            began = time.monotonic()
            with pytest.raises(AuditUnavailable) as raised:
                await recorder.record(finished("too-many"))
            assert time.monotonic() - began < 1.0
            assert raised.value.retry_after
        await asyncio.gather(*waiting)

    assert sorted(await request_ids(sqlite_url(database))) == ["r0", "r1", "r2"]


async def test_close_writes_what_waits(database: Path) -> None:
    async with recording(sqlite_url(database), timeout_seconds=10) as recorder:
        waiting = [asyncio.create_task(recorder.record(finished(f"r{number}"))) for number in range(50)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)

    assert len(await request_ids(sqlite_url(database))) == 50
    assert (await verified(sqlite_url(database))).sealed == 50


async def test_close_with_the_store_away_ends_in_time_and_counts_what_is_lost(database: Path) -> None:
    async with recording(sqlite_url(database), timeout_seconds=0.3) as recorder:
        with locked(database):
            task = asyncio.create_task(recorder.record(finished("lost")))
            await asyncio.sleep(0.05)
            task.cancel()
            began = time.monotonic()
            with structlog.testing.capture_logs() as lines:
                await recorder.close()
            assert time.monotonic() - began < 5
            with pytest.raises(AuditUnavailable):
                await recorder.record(finished("after the end"))

    assert [line["events"] for line in lines if line["event"] == "audit.lost"] == [1]


async def test_a_tail_cut_while_running_is_found(database: Path) -> None:
    """Even if no checkpoint was signed before the cut, and the log has grown past it since."""
    settings = {"checkpoint_every": 10**6, "checkpoint_seconds": 3600}
    async with recording(sqlite_url(database), **settings) as recorder:
        for number in range(5):
            await recorder.record(finished(f"r{number}"))
        tamper(database, "DELETE FROM audit WHERE seq > 2")
        for number in range(9):
            await recorder.record(finished(f"later{number}"))

    report = await verified(sqlite_url(database))
    assert report.verdicts["integrity"].good
    assert report.verdicts["completeness"].first_bad == 5


async def test_checkpoints_come_by_number_and_by_time(database: Path) -> None:
    async with recording(sqlite_url(database), checkpoint_every=4, checkpoint_seconds=3600) as recorder:
        for number in range(4):
            await recorder.record(finished(f"r{number}"))
        await sealed_to(database, 4)
    async with recording(sqlite_url(database), checkpoint_every=10**6, checkpoint_seconds=0.05) as recorder:
        await recorder.record(finished("later"))
        await sealed_to(database, 5)


async def sealed_to(database: Path, size: int) -> None:
    for _ in range(500):
        if (await verified(sqlite_url(database))).sealed == size:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not sealed in time")


async def test_a_sick_second_place_stops_no_record_and_is_made_good(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    settings = {"checkpoint_file": str(folder / "checkpoints"), "checkpoint_seconds": 0.05}
    async with recording(sqlite_url(database), **settings) as recorder:
        await recorder.record(finished("r0"))
        await asyncio.sleep(0.2)
        folder.mkdir()
        await asyncio.sleep(0.2)

    assert (folder / "checkpoints").stat().st_mode & 0o077 == 0
    assert (await verified(sqlite_url(database), checkpoint_file=settings["checkpoint_file"])).good


def test_it_works_on_uvloop(database: Path) -> None:
    async def work() -> None:
        async with recording(sqlite_url(database)) as recorder:
            await asyncio.gather(*(recorder.record(finished(f"r{number}")) for number in range(50)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())
        assert runner.run(verified(sqlite_url(database))).records == 50


KILLER = """
import asyncio, os, signal, sys, time
from pathlib import Path
from tests.support.audit import finished, recording

async def caller(recorder, name, acknowledged):
    turn = 0
    while True:
        await recorder.record(finished(f"{name}-{turn}"))
        os.write(acknowledged, f"{name}-{turn}\\n".encode())
        turn += 1

async def write(url, path):
    acknowledged = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    async with recording(url, timeout_seconds=20, checkpoint_every=20) as recorder:
        await asyncio.gather(*(caller(recorder, f"{path.name}.{number}", acknowledged) for number in range(8)))

url, folder = sys.argv[1], Path(sys.argv[2])
for turn in range(3):
    writers = {}
    for number in range(2):
        path = folder / f"acknowledged-{turn}.{number}"
        path.touch()
        if (pid := os.fork()) == 0:
            asyncio.run(write(url, path))
        writers[pid] = path
    while any(path.stat().st_size < 500 for path in writers.values()):
        time.sleep(0.01)
    time.sleep(0.03 * turn)
    for pid in writers:
        os.kill(pid, signal.SIGKILL)
        os.wait()
"""


async def test_killed_writers_leave_every_acknowledged_record_and_a_whole_chain(database: Path, tmp_path: Path) -> None:
    """Two at a time, killed with SIGKILL while they write; the next go on where they were."""
    url = sqlite_url(database)
    command = [sys.executable, "-c", KILLER, url, str(tmp_path)]
    await asyncio.to_thread(subprocess.run, command, cwd=ROOT, timeout=90, check=True)

    acknowledged = lines_of(tmp_path)
    ids = await request_ids(url)
    report = await verified(url)
    assert report.good
    assert len(acknowledged) >= 100
    assert acknowledged <= set(ids)
    assert len(ids) == len(set(ids))


def lines_of(folder: Path) -> set[str]:
    files = list(folder.glob("acknowledged-*"))
    assert len(files) == 6
    return {line for file in files for line in file.read_text().splitlines()}
