"""A change to the newest part of the log is found by the next look, and stays known."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.audit import watch as module
from gateway.audit.reader import AuditReader
from gateway.audit.watch import ChainWatch
from tests.support.audit import audit_settings, engine_of, finished, recording, sqlite_url, tamper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from gateway.audit.recorder import Recorder


@asynccontextmanager
async def watched(path: Path) -> AsyncIterator[tuple[Recorder, ChainWatch, AuditReader]]:
    """A log with some records, and whoever watches it."""
    url = sqlite_url(path)
    async with recording(url, checkpoint_every=1) as recorder:
        await fill(recorder, 6)
        engine = engine_of(url)
        reader = AuditReader(engine, audit_settings(checkpoint_every=1))
        try:
            yield recorder, ChainWatch(reader), reader
        finally:
            await engine.dispose()


async def fill(recorder: Recorder, count: int) -> None:
    for number in range(count):
        await recorder.record(finished(f"r{number}"))
    async with asyncio.timeout(20):
        while recorder.sealed[1]:  # noqa: ASYNC110 - the sealer tells nobody
            await asyncio.sleep(0.01)


async def change(path: Path, *statements: str) -> None:
    """In a thread: the loop is needed by whoever holds the database's lock."""
    await asyncio.to_thread(tamper, path, *statements)


async def test_nothing_is_known_before_the_first_look_and_then_all_is_well(tmp_path: Path) -> None:
    async with watched(tmp_path / "a.db") as (recorder, watch, _):
        assert (watch.state, watch.at) == ("unknown", 0.0)
        await watch.look()
        first = watch.at
        await fill(recorder, 3)
        await watch.look()
        assert watch.state == "ok"
        assert watch.at > first > 0


async def test_a_changed_record_is_found_by_the_next_look(tmp_path: Path) -> None:
    async with watched(tmp_path / "a.db") as (recorder, watch, _):
        await watch.look()
        await fill(recorder, 4)
        await change(tmp_path / "a.db", "UPDATE audit SET actor = 'key_mallory' WHERE seq = 9")
        await watch.look()
        assert watch.state == "broken"
        await fill(recorder, 2)
        await watch.look()
        assert watch.state == "broken", "what comes after it is good, and it is broken still"


async def test_a_tail_that_was_cut_is_found(tmp_path: Path) -> None:
    async with watched(tmp_path / "a.db") as (_, watch, _):
        await watch.look()
        await change(tmp_path / "a.db", "DELETE FROM audit WHERE seq > 3")
        await watch.look()
        assert watch.state == "broken"


async def test_a_tail_that_was_cut_with_its_checkpoints_is_found_too(tmp_path: Path) -> None:
    async with watched(tmp_path / "a.db") as (_, watch, _):
        await watch.look()
        await change(
            tmp_path / "a.db", "DELETE FROM audit WHERE seq > 3", "DELETE FROM audit_checkpoints WHERE size > 3"
        )
        (tmp_path / "a.db.checkpoints").unlink()
        await watch.look()
        assert watch.state == "broken"


async def test_what_anyone_else_verifies_is_known(tmp_path: Path) -> None:
    async with watched(tmp_path / "a.db") as (_, watch, reader):
        await reader.verify()
        assert watch.state == "ok"
        await change(tmp_path / "a.db", "UPDATE audit SET actor = 'key_mallory' WHERE seq = 2")
        await reader.verify()
        assert watch.state == "broken"
        await change(tmp_path / "a.db", "UPDATE audit SET actor = 'key_abc' WHERE seq = 2")
        await reader.verify(after=3)
        assert watch.state == "broken", "a part that is good proves nothing of the rest"
        await reader.verify()
        assert watch.state == "ok"


async def test_the_first_look_takes_the_newest_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEWEST", 2)
    async with watched(tmp_path / "a.db") as (_, watch, reader):
        await change(tmp_path / "a.db", "UPDATE audit SET actor = 'key_mallory' WHERE seq = 2")
        await watch.look()
        assert watch.state == "ok"
        assert not (await reader.verify()).good
        assert watch.state == "broken"
