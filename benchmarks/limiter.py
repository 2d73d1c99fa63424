"""What a decision of the limiter costs, and whether it holds, beside the package ``limits``; one Valkey, one run.

    python benchmarks/limiter.py [--calls 3000] [--limits 60 1000 10000]

Floor: a script of one line that answers 1, called by redis-py as anyone would; and the same on the limiter's own
connections, which do without most of what redis-py does around a call. Ours decides three windows and a lease in one
call, and counts in its own process too; the release is a call of its own, after the answer has gone. ``limits`` decides
one window a call, so three windows are three calls. The calls of all kinds take turns, in rounds: a busy machine is
busy for all of them.

Over-admission: a caller who opens a window with one request, is silent to its end, and then sends as fast as it can.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import redis.asyncio as redis
import uvloop
from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from gateway.admission.limiter import Limiter
from gateway.admission.plans import Plan, Plans, Window
from gateway.admission.principal import Principal
from gateway.admission.redis_connections import Connections
from gateway.admission.redis_url import connect
from gateway.embedded.valkey import Valkey
from gateway.errors import QuotaExceeded
from gateway.settings import RedisSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ENDLESS = 1_000_000_000
EDGE_LIMIT, EDGE_SECONDS = 100, 1
ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """A call to be timed, and what must be done after each, which is not."""

    name: str
    call: Callable[[], Awaitable[Any]]
    after: Callable[[Any], Awaitable[object]] | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of a call, and calls a second with sixteen callers at once."""

    name: str
    p50: float
    p99: float
    rate: float


async def costs_of(kinds: list[Kind], calls: int) -> list[Cost]:
    taken: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    rates: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    for turn in range(ROUNDS + 1):
        for kind in kinds:
            taking: list[float] = []
            for _ in range(calls // ROUNDS):
                await once(kind, taking)
            rate = await rate_of(kind, calls // ROUNDS)
            if turn:  # the first is to warm up
                taken[kind.name] += taking
                rates[kind.name].append(rate)
    return [
        Cost(name, 1e6 * median(times), 1e6 * sorted(times)[int(len(times) * 0.99)], median(rates[name]))
        for name, times in taken.items()
    ]


async def once(kind: Kind, taken: list[float]) -> None:
    begin = time.perf_counter()
    answer = await kind.call()
    taken.append(time.perf_counter() - begin)
    if kind.after is not None:
        await kind.after(answer)


async def rate_of(kind: Kind, calls: int) -> float:
    async def one_of_many() -> None:
        for _ in range(calls // 16):
            await once(kind, [])

    begin = time.perf_counter()
    await asyncio.gather(*(one_of_many() for _ in range(16)))
    return calls // 16 * 16 / (time.perf_counter() - begin)


def ours(url: str, windows: tuple[Window, ...], *, concurrency: int | None = None) -> Limiter:
    settings = RedisSettings(url=SecretStr(url), timeout_seconds=2.0)
    return Limiter(settings, Plans({"plan": Plan(windows=windows, concurrency=concurrency)}))


def caller(name: str) -> Principal:
    return Principal(name, "owner", "tenant", frozenset(), "plan")


def three(limit: int) -> tuple[Window, ...]:
    return (
        Window(name="burst", limit=limit, seconds=10),
        Window(name="minute", limit=limit, seconds=60),
        Window(name="day", limit=limit, seconds=86400),
    )


async def costs(url: str, calls: int) -> list[Cost]:
    client = redis.Redis.from_url(url)
    script = await client.script_load("return 1")
    limiter = ours(url, three(ENDLESS), concurrency=100_000)
    bare = ours(url, three(ENDLESS)[:1])
    lean = Connections(connect(RedisSettings(url=SecretStr(url))))
    storage = storage_at(url)
    moving, counter = MovingWindowRateLimiter(storage), SlidingWindowCounterRateLimiter(storage)
    item = RateLimitItemPerMinute(calls * 30)
    number = iter(range(10**9))

    async def acquire() -> str:
        request = str(next(number))
        await limiter.acquire(caller("cost"), request)
        return request

    async def release(request: str) -> None:
        await limiter.release(caller("cost"), request)

    async def both() -> None:
        await release(await acquire())

    kinds = [
        Kind("floor: redis-py, a script that answers 1", lambda: client.evalsha(script, 1, "x", b"[]")),
        Kind("floor, on the limiter's connections", lambda: lean.call("EVALSHA", script, 1, "x", b"[]")),
        Kind("cordon, 3 windows + lease", acquire, release),
        Kind("cordon, 3 windows + lease, and its release", both),
        Kind("cordon, 1 window", lambda: bare.acquire(caller("one"), "r")),
        Kind("limits, moving window, 1 window", lambda: moving.hit(item, "a")),
        Kind("limits, sliding counter, 1 window", lambda: counter.hit(item, "b")),
        Kind("limits, sliding counter, 3 windows", lambda: thrice(counter, item)),
    ]
    try:
        return await costs_of(kinds, calls)
    finally:
        await limiter.close()
        await bare.close()
        await client.aclose()
        await lean.close()
        await close(storage)


async def thrice(strategy: Any, item: Any) -> bool:
    return all([await strategy.hit(item, name) for name in ("c", "d", "e")])


def storage_at(url: str) -> RedisStorage:
    return RedisStorage(f"async+redis+{url}", implementation="redispy")


async def close(storage: RedisStorage) -> None:
    await storage.bridge.storage.aclose()


async def sizes(url: str, limits: list[int]) -> dict[str, list[int]]:
    """Bytes of the keys of one caller whose windows are full."""
    client = redis.Redis.from_url(url)
    names = "cordon, 1 window", "cordon, 3 windows + 8 leases", "limits, moving window", "limits, sliding counter"
    found: dict[str, list[int]] = {name: [] for name in names}
    storage = storage_at(url)
    for limit in limits:
        limiter = ours(url, three(limit)[1:2])
        whole = ours(url, three(limit), concurrency=8)
        item = RateLimitItemPerMinute(limit)
        runs = {
            "cordon, 1 window": lambda limiter=limiter: admitted(limiter),
            "cordon, 3 windows + 8 leases": lambda whole=whole: admitted(whole),
            "limits, moving window": lambda item=item: MovingWindowRateLimiter(storage).hit(item, "x"),
            "limits, sliding counter": lambda item=item: SlidingWindowCounterRateLimiter(storage).hit(item, "x"),
        }
        for name, decide in runs.items():
            await clear(client)
            await fill(decide, limit)
            total = 0
            for key in await kept(client):
                total += await client.memory_usage(key, samples=0) or 0
            found[name].append(total)
        await limiter.close()
        await whole.close()
    await clear(client)
    await client.aclose()
    await close(storage)
    return found


async def kept(client: Any) -> list[bytes]:
    """Of callers; not what a server has once (some 300 bytes)."""
    return [key for key in await client.keys("*") if not key.startswith(b"limiter:")]


async def clear(client: Any) -> None:
    """As time would: a flush would be a loss, to be mended."""
    if keys := await kept(client):
        await client.delete(*keys)


async def fill(decide: Callable[[], Awaitable[bool]], limit: int) -> None:
    """Use a window up over some seconds, as a caller would."""
    for part in range(10):
        for _ in range(limit // 10):
            await decide()
        if part % 3 == 2:
            await asyncio.sleep(1.1)


async def admitted(limiter: Limiter, name: str = "full") -> bool:
    try:
        await limiter.acquire(caller(name), "r")
    except QuotaExceeded:
        return False
    return True


async def worst(decide: Callable[[], Awaitable[bool]], times: int = 3) -> int:
    """The most that was let through within one window's length, whatever the clock's readings are worth.

    A call counts from its beginning to its end, so that two are never held to be closer than they were.
    """
    spans: list[tuple[float, float]] = []
    for _ in range(times):
        await asyncio.sleep(2.2 * EDGE_SECONDS)  # all is over
        begun = time.perf_counter()
        await decide()
        await asyncio.sleep(0.9 * EDGE_SECONDS)
        while (now := time.perf_counter()) - begun < 2.2 * EDGE_SECONDS:
            if await decide():
                spans.append((now, time.perf_counter()))
            else:
                await asyncio.sleep(0.002)
    most = first = 0
    for last, (_, end) in enumerate(spans):
        while end - spans[first][0] >= EDGE_SECONDS:
            first += 1
        most = max(most, last - first + 1)
    return most


async def worsts(url: str) -> dict[str, int]:
    storage = storage_at(url)
    limiter = ours(url, (Window(name="second", limit=EDGE_LIMIT, seconds=EDGE_SECONDS),))
    item = RateLimitItemPerSecond(EDGE_LIMIT, EDGE_SECONDS)
    moving, counter = MovingWindowRateLimiter(storage), SlidingWindowCounterRateLimiter(storage)
    found = await asyncio.gather(
        worst(lambda: admitted(limiter, "edge")),
        worst(lambda: moving.hit(item, "edge")),
        worst(lambda: counter.hit(item, "edge")),
    )
    await limiter.close()
    await close(storage)
    return dict(zip(("cordon", "limits, moving window", "limits, sliding counter"), found, strict=True))


async def measure(url: str, calls: int, limits: list[int]) -> None:
    console = Console(width=110)
    table = Table(title="One decision, microseconds", box=None, title_justify="left")
    for column in ("", "p50", "p99", "of the floor", "a second, 16 callers"):
        table.add_column(column, justify="left" if not column else "right")
    rows = await costs(url, calls)
    for row in rows:
        table.add_row(
            row.name,
            f"{row.p50:.0f}",
            f"{row.p99:.0f}",
            f"{row.p50 / rows[0].p50:.2f} x",
            f"{row.rate:,.0f}",
        )
    console.print(table)

    table = Table(title="\nBytes in Redis of one caller whose windows are full", box=None, title_justify="left")
    table.add_column("")
    for limit in limits:
        table.add_column(f"limit {limit:,}", justify="right")
    for name, found in (await sizes(url, limits)).items():
        table.add_row(name, *(f"{size:,}" for size in found))
    console.print(table)

    table = Table(title=f"\nMost in any {EDGE_SECONDS} s, limit {EDGE_LIMIT}", box=None, title_justify="left")
    table.add_column("")
    table.add_column("let through", justify="right")
    for name, most in (await worsts(url)).items():
        table.add_row(name, str(most))
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=3000, help="timed calls of each kind")
    parser.add_argument(
        "--limits", type=int, nargs="+", default=[60, 1000, 10_000], help="limits of the windows weighed"
    )
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lim") as name:
        server = Valkey(Path(name) / "valkey.sock", Path(name) / "valkey.log")
        server.wait_ready()
        try:
            uvloop.run(measure(server.url, choice.calls, choice.limits))
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
