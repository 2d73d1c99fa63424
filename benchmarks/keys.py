"""How soon a change of a key holds in another worker, and what looking at keys every half second costs.

    .venv/bin/python benchmarks/keys.py

Two parts. A key is revoked in one process while another asks for it all the time, with and without the message in
between. And what it costs a worker to look at the keys in use twice a second: its CPU time under a load, less that of
the same load when it looks at each key once.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pydantic import SecretStr
from sqlalchemy import event

from gateway.admission.api_key import ApiKeys
from gateway.admission.authenticate import CredentialRefused
from gateway.admission.changes import Changes
from gateway.admission.key_record import NewKey
from gateway.admission.key_store import KeyStore
from gateway.admission.keys import KeyMaker
from gateway.database import create_engine
from gateway.embedded.valkey import Valkey
from gateway.migrations import migrate
from gateway.settings import DatabaseSettings, RedisSettings
from tests.support.postgres import postgres_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from sqlalchemy.ext.asyncio import AsyncEngine

MAKER = KeyMaker(b"p" * 32)
CACHE_SECONDS = 0.5
ROUNDS = 30
LOAD_SECONDS = 2
NEW = NewKey(owner="benchmark", tenant="bench", scopes=frozenset({"predict"}), plan="standard")


def engine_of(url: str) -> AsyncEngine:
    return create_engine(DatabaseSettings(url=SecretStr(url)))


def changes_of(url: str) -> Changes:
    return Changes(RedisSettings(url=SecretStr(url), timeout_seconds=1.0))


def worker(database: str, redis: str, pipe: Connection) -> None:
    """Another worker: asks for the key that it is told of until it is refused, and says when that was."""

    async def work() -> None:
        engine, changes = engine_of(database), changes_of(redis)
        keys = ApiKeys(KeyStore(engine, MAKER), MAKER, cache_seconds=CACHE_SECONDS)
        changes.on("key", keys.forget)
        changes.start()
        await changes.listening.wait()
        pipe.send("listening")
        while text := await asyncio.to_thread(pipe.recv):
            told = False
            try:
                while True:
                    await keys.authenticate({"x-api-key": text}, "")
                    if not told:
                        told = True
                        pipe.send("known")
                    await asyncio.sleep(0.001)
            except CredentialRefused:
                pipe.send(time.monotonic())
        await keys.close()
        await changes.close()
        await engine.dispose()

    asyncio.run(work())


async def delays(database: str, redis: str, pipe: Connection, *, told: bool) -> list[float]:
    """Milliseconds from the commit of a revocation to the first refusal elsewhere."""
    engine, changes = engine_of(database), changes_of(redis)
    store = KeyStore(engine, MAKER, changes=changes if told else None)
    found = []
    for number in range(ROUNDS):
        record, issued = await store.issue(NEW)
        await asyncio.to_thread(pipe.send, issued.text)
        assert await asyncio.to_thread(pipe.recv) == "known"
        await asyncio.sleep(0.05 + CACHE_SECONDS * number / ROUNDS)  # anywhere in the life of what is known
        await store.revoke(record.key_id)
        committed = time.monotonic()
        found.append((await asyncio.to_thread(pipe.recv) - committed) * 1000)
    await changes.close()
    await engine.dispose()
    return found


async def looking(database: str, count: int) -> tuple[float, float]:
    """Looks a second for so many keys in use, and the share of a core that they take, in percent."""
    engine = engine_of(database)
    store = KeyStore(engine, MAKER)
    texts = [(await store.issue(NEW))[1].text for _ in range(count)]
    looks = 0

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def _see(_c: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal looks
        looks += statement.startswith("SELECT api_keys.key_id, ")

    async def load(cache_seconds: float) -> tuple[float, float]:
        """CPU seconds, and seconds, of a load: each key asked for five times a second, if the machine keeps up."""
        nonlocal looks
        keys = ApiKeys(store, MAKER, cache_seconds=cache_seconds)
        for text in texts:
            await keys.authenticate({"x-api-key": text}, "")
        await keys.close()
        looks, began, cpu = 0, time.monotonic(), time.process_time()
        for step in range(int(LOAD_SECONDS * 5 * 10)):
            for text in texts[step % 10 :: 10]:
                await keys.authenticate({"x-api-key": text}, "")
            await asyncio.sleep(max(0.0, began + (step + 1) / 50 - time.monotonic()))
        spent, took = time.process_time() - cpu, time.monotonic() - began
        await keys.close()
        return spent, took

    without, _ = await load(3600)
    spent, took = await load(CACHE_SECONDS)
    seen = looks
    await engine.dispose()
    return seen / took, (spent - without) / took * 100


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, str]]:
    with postgres_url() as url:
        yield {"SQLite": f"sqlite+aiosqlite:///{folder}/keys.db", "PostgreSQL": url}


def report(name: str, found: list[float]) -> None:
    ordered = sorted(found)
    print(f"  {name:<34} {statistics.median(ordered):8.1f} {ordered[int(len(ordered) * 0.95)]:8.1f} {ordered[-1]:8.1f}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cordon-", dir="/tmp") as name, databases(Path(name)) as urls:
        for url in urls.values():
            asyncio.run(_migrate(url))
        valkey = Valkey(Path(name) / "valkey.sock", Path(name) / "valkey.log")
        valkey.wait_ready()
        try:
            print(f"load average {os.getloadavg()[0]:.1f}\n\nA revoked key is refused by another process after, ms")
            print(f"  {'':<34} {'p50':>8} {'p95':>8} {'most':>8}")
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            other = context.Process(target=worker, args=(urls["SQLite"], valkey.url, theirs))
            other.start()
            assert ours.recv() == "listening"
            report("told by a message", asyncio.run(delays(urls["SQLite"], valkey.url, ours, told=True)))
            report("the message lost: SQL alone", asyncio.run(delays(urls["SQLite"], valkey.url, ours, told=False)))
            ours.send("")
            other.join()
        finally:
            valkey.stop()
        print("\nKeys in use by one worker, each asked for five times a second")
        print(f"  {'':<12} {'keys':>6} {'looks a second':>16} {'of one core':>12}")
        for kind, url in urls.items():
            for count in (1, 10, 100, 300):
                looks, share = asyncio.run(looking(url, count))
                print(f"  {kind:<12} {count:>6} {looks:>16.1f} {share:>10.1f} %")


async def _migrate(url: str) -> None:
    engine = engine_of(url)
    await migrate(engine)
    await engine.dispose()


if __name__ == "__main__":
    main()
