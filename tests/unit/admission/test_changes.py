"""What one process changes the others hear of at once; without Redis they find it within a second.

Over a Cluster and a Sentinel: ``test_redis_forms.py``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from gateway.admission import changes as module
from gateway.admission.api_key import ApiKeys
from gateway.admission.authenticate import CredentialRefused
from gateway.admission.changes import CHANNEL, Changes
from gateway.admission.key_store import KeyStore
from gateway.admission.switches import Switches
from gateway.database import create_engine
from gateway.errors import SwitchedOff
from gateway.migrations import migrate
from gateway.settings import DatabaseSettings, RedisSettings
from tests.support.announcers import OtherProcess, listening, until
from tests.support.keys import MAKER, new_key
from tests.support.valkey import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

BOUND = 1.0


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{tmp_path}/keys.db")))
    await migrate(engine)
    yield engine
    await engine.dispose()


class Worker:
    """What one worker knows of keys and switches, with a cache so long that only a message can be as quick as it is."""

    def __init__(self, engine: AsyncEngine, changes: Changes, *, cache_seconds: float = 0.5) -> None:
        self.keys = ApiKeys(KeyStore(engine, MAKER), MAKER, cache_seconds=cache_seconds)
        self.switches = Switches(engine, cache_seconds=cache_seconds, changes=changes)
        changes.on("key", self.keys.forget)

    async def refuses(self, text: str) -> bool:
        try:
            await self.keys.authenticate({"x-api-key": text}, "")
        except CredentialRefused:
            return True
        return False


async def test_another_process_is_heard_at_once(valkey: ValkeyServer) -> None:
    other = await asyncio.to_thread(OtherProcess, valkey.url)
    async with listening(valkey.url) as changes:
        heard: list[tuple[str, float]] = []
        changes.on("key", lambda name: heard.append((name, time.monotonic())))
        delays = []
        for number in range(20):
            said = await asyncio.to_thread(other.say, f"key key_{number}")
            await until(lambda number=number: len(heard) > number)  # type: ignore[misc]
            assert heard[number][0] == f"key_{number}"
            delays.append(heard[number][1] - said)
    await asyncio.to_thread(other.stop)
    assert sorted(delays)[len(delays) // 2] < 0.1
    assert max(delays) < BOUND


async def test_a_revoked_key_and_a_switch_hold_without_waiting_for_the_cache(
    valkey: ValkeyServer, database: AsyncEngine
) -> None:
    async with listening(valkey.url) as here, listening(valkey.url) as there:
        worker = Worker(database, there, cache_seconds=60)
        store = KeyStore(database, MAKER, changes=here)
        record, issued = await store.issue(new_key())
        assert not await worker.refuses(issued.text)
        await worker.switches.check_model("m")

        await store.revoke(record.key_id)
        await Switches(database, cache_seconds=0, changes=here).turn_off("model", "m", reason="test", by="cli")

        began = time.monotonic()
        while not (await worker.refuses(issued.text) and await switched_off(worker)):
            assert time.monotonic() - began < BOUND
            await asyncio.sleep(0.005)
        await worker.keys.close()


async def switched_off(worker: Worker) -> bool:
    try:
        await worker.switches.check_model("m")
    except SwitchedOff:
        return True
    return False


async def seen_within(database: AsyncEngine, worker: Worker, changes: Changes | None) -> float:
    """Seconds until a worker that knew the key refuses it."""
    store = KeyStore(database, MAKER, changes=changes)
    record, issued = await store.issue(new_key())
    assert not await worker.refuses(issued.text)
    await store.revoke(record.key_id)
    began = time.monotonic()
    while not await worker.refuses(issued.text):  # noqa: ASYNC110 - asked anew, as callers do
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_a_message_that_is_lost_is_made_good_by_the_cache(valkey: ValkeyServer, database: AsyncEngine) -> None:
    async with listening(valkey.url) as changes:
        worker = Worker(database, changes)
        assert await seen_within(database, worker, None) < BOUND  # nobody is told
        await worker.keys.close()


async def test_redis_killed_and_started_again(tmp_path_factory: pytest.TempPathFactory, database: AsyncEngine) -> None:
    server = ValkeyServer(tmp_path_factory.mktemp("k")).start()
    try:
        async with listening(server.url) as changes:
            worker = Worker(database, changes)
            server.kill()
            assert await seen_within(database, worker, changes) < BOUND
            await until(lambda: not changes.listening.is_set())
            server.start()
            await until(changes.listening.is_set)
            worker = Worker(database, changes, cache_seconds=60)  # so that nothing but a message does it
            assert await seen_within(database, worker, changes) < BOUND
            await worker.keys.close()
    finally:
        server.stop()


async def test_a_server_that_stands_still_holds_nothing_up(
    tmp_path_factory: pytest.TempPathFactory, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(module, "_CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.1)
    server = ValkeyServer(tmp_path_factory.mktemp("s")).start()
    assert server._running is not None
    pid = server._running.child.pid
    try:
        async with listening(server.url) as there:
            here = Changes(RedisSettings(url=SecretStr(server.url), timeout_seconds=0.05))
            worker = Worker(database, there)
            os.kill(pid, signal.SIGSTOP)
            try:
                assert await seen_within(database, worker, here) < BOUND
                await until(lambda: not there.listening.is_set())  # no sign of life: the subscription is given up
            finally:
                os.kill(pid, signal.SIGCONT)
            await until(there.listening.is_set)
            heard: list[str] = []
            there.on("key", heard.append)
            here.tell("key", "key_later")
            await until(lambda: "key_later" in heard)
            await here.close()
            await worker.keys.close()
    finally:
        server.stop()


@pytest.mark.parametrize("message", [b"", b"key", b"door key_x", b"\xff\xfe key_x", b"key " + b"x" * 1000])
async def test_what_is_no_message_of_ours_does_no_harm(valkey: ValkeyServer, message: bytes) -> None:
    async with listening(valkey.url) as changes:
        heard: list[str] = []
        changes.on("key", heard.append)
        with valkey.client() as client:
            client.publish(CHANNEL, message)
            client.publish(CHANNEL, "key key_good")
        await until(lambda: "key_good" in heard)
        assert set(heard) <= {"key_good", ""}


async def test_without_redis_the_process_itself_knows_at_once() -> None:
    changes = Changes(RedisSettings(url=SecretStr("redis://127.0.0.1:1/0"), timeout_seconds=0.05))
    heard: list[str] = []
    changes.on("key", heard.append)
    changes.start()
    changes.tell("key", "key_x")
    assert heard == ["key_x"]
    await changes.close()
