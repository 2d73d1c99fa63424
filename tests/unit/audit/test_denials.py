"""A flood of refusals becomes a few events that say how many."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from gateway.audit.denials import MANY, DenialCounter
from gateway.audit.events import ANONYMOUS
from tests.support.audit import recorded, recording, sqlite_url

if TYPE_CHECKING:
    from pathlib import Path


def note(counter: DenialCounter, number: int = 0, **changes: Any) -> None:
    said: dict[str, Any] = {
        "request_id": f"r{number}",
        "route": "POST /v1/predict",
        "address": "192.0.2.7",
        "actor": ANONYMOUS,
    }
    counter.note("unauthenticated", "unknown", **(said | changes))


async def test_alike_refusals_are_one_event_with_their_number(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "audit.db")
    async with recording(url) as recorder:
        counter = DenialCounter(recorder)
        counter.start()
        for number in range(1000):
            note(counter, number)
        note(counter, 5000, address="192.0.2.8")
        await counter.close()

    said = sorted(await recorded(url), key=lambda record: str(record["address"]))
    assert [(record["type"], record["address"], record["count"]) for record in said] == [
        ("access.denied", "192.0.2.7", 1000),
        ("access.denied", "192.0.2.8", 1),
    ]
    assert said[0]["request_id"] == "r0"
    assert said[0]["outcome"] == "refused"
    assert said[0]["reason"] == "unknown"


async def test_a_flood_from_everywhere_is_bounded_and_counted_whole(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "audit.db")
    async with recording(url) as recorder:
        counter = DenialCounter(recorder, groups=8)
        counter.start()
        for number in range(5000):
            note(counter, number, address=f"2001:db8::{number:x}")
        await counter.close()

    said = await recorded(url)
    assert len(said) == 9
    assert sum(record["count"] for record in said) == 5000
    assert [record["count"] for record in said if record["actor"] == MANY] == [4992]
    assert [record["address"] for record in said if record["actor"] == MANY] == [""]


async def test_counts_are_written_at_the_end_of_each_window(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "audit.db")
    async with recording(url) as recorder:
        counter = DenialCounter(recorder, seconds=1)
        counter.start()
        note(counter)
        for _ in range(500):
            if await recorded(url):
                break
            await asyncio.sleep(0.02)
        assert [record["seconds"] for record in await recorded(url)] == [1]
        await counter.close()

    assert len(await recorded(url)) == 1


async def test_counts_wait_for_a_store_that_is_away(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "audit.db")
    async with recording(url, timeout_seconds=0.3) as recorder:
        counter = DenialCounter(recorder, seconds=1)
        counter.start()
        with closing(sqlite3.connect(tmp_path / "audit.db", isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            note(counter)
            await asyncio.sleep(1.6)
            note(counter)
        for _ in range(500):
            if await recorded(url):
                break
            await asyncio.sleep(0.02)
        await counter.close()

    assert sum(record["count"] for record in await recorded(url)) == 2
