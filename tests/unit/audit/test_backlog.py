"""How far behind the audit log is."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import TYPE_CHECKING

from tests.support.audit import finished, recording, sqlite_url

if TYPE_CHECKING:
    from pathlib import Path


async def test_what_is_not_durable_yet_and_for_how_long(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with recording(sqlite_url(path), timeout_seconds=5) as recorder:
        assert recorder.backlog == (0, 0.0)
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")  # as another process that writes, and does not end
        tasks = [asyncio.create_task(recorder.record(finished(f"r{number}"))) for number in range(3)]
        await asyncio.sleep(0.2)
        waiting, seconds = recorder.backlog
        lock.execute("ROLLBACK")
        lock.close()
        await asyncio.gather(*tasks)
        assert waiting == 3
        assert 0.15 < seconds < 5
        assert recorder.backlog == (0, 0.0)


async def test_what_has_no_checkpoint_yet_and_for_how_long(tmp_path: Path) -> None:
    began = time.time()
    async with recording(sqlite_url(tmp_path / "a.db"), checkpoint_every=2, checkpoint_seconds=60) as recorder:
        assert recorder.sealed == (0.0, 0.0)
        await recorder.record(finished("r1"))
        await asyncio.sleep(0.1)
        at, seconds = recorder.sealed
        assert (at, seconds > 0.05) == (0.0, True)
        await recorder.record(finished("r2"))
        async with asyncio.timeout(20):
            while recorder.sealed[1]:  # noqa: ASYNC110 - the sealer tells nobody
                await asyncio.sleep(0.01)
        assert recorder.sealed[0] >= began
