"""What a decision of the limiter costs, and whether it holds, beside the package ``limits``; one Valkey, one run.

    python benchmarks/limiter.py [--calls 3000] [--limits 60 1000 10000]

Floor: a script of one line that answers 1, called the same way. Ours decides three windows and a lease in one call;
``limits`` decides one window a call, so three windows are three calls. Over-admission: a caller who sends as fast as it
can, in bursts placed at the window's edges; the most that was let through within one window's length.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
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
from gateway.embedded.valkey import Valkey
from gateway.errors import QuotaExceeded
from gateway.settings import RedisSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ENDLESS = 1_000_000_000
EDGE_LIMIT, EDGE_SECONDS = 100, 1


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of a call, and calls a second with sixteen callers at once."""

    name: str
    p50: float
    p99: float
    rate: float


async def cost(name: str, decide: Callable[[], Awaitable[object]], calls: int) -> Cost:
    for _ in range(calls // 10):
        await decide()
    taken = []
    for _ in range(calls):
        begin = time.perf_counter()
        await decide()
        taken.append(time.perf_counter() - begin)
    taken.sort()

    async def one_of_many() -> None:
        for _ in range(calls // 16):
            await decide()

    begin = time.perf_counter()
    await asyncio.gather(*(one_of_many() for _ in range(16)))
    rate = calls // 16 * 16 / (time.perf_counter() - begin)
    return Cost(name, 1e6 * taken[calls // 2], 1e6 * taken[int(calls * 0.99)], rate)


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
    storage = storage_at(url)
    moving, counter = MovingWindowRateLimiter(storage), SlidingWindowCounterRateLimiter(storage)
    item = RateLimitItemPerMinute(calls * 3)
    number = iter(range(10**9))

    async def with_lease() -> None:
        request = str(next(number))
        await limiter.acquire(caller("cost"), request)
        await limiter.release(caller("cost"), request)

    try:
        return [
            await cost("floor: a script that answers 1", lambda: client.evalsha(script, 1, "x", b"[]"), calls),
            await cost("cordon, 3 windows + lease, and its release", with_lease, calls),
            await cost("cordon, 1 window", lambda: bare.acquire(caller("one"), "r"), calls),
            await cost("limits, moving window, 1 window", lambda: moving.hit(item, "a"), calls),
            await cost("limits, sliding counter, 1 window", lambda: counter.hit(item, "b"), calls),
            await cost("limits, sliding counter, 3 windows", lambda: thrice(counter, item), calls),
        ]
    finally:
        await limiter.close()
        await bare.close()
        await client.aclose()
        await close(storage)


async def thrice(strategy: Any, item: Any) -> bool:
    return all([await strategy.hit(item, name) for name in ("c", "d", "e")])


def storage_at(url: str) -> RedisStorage:
    return RedisStorage(f"async+redis+{url}", implementation="redispy")


async def close(storage: RedisStorage) -> None:
    await storage.bridge.storage.aclose()


async def sizes(url: str, limits: list[int]) -> dict[str, list[int]]:
    """Bytes that one full window of one caller takes."""
    client = redis.Redis.from_url(url)
    found: dict[str, list[int]] = {"cordon": [], "limits, moving window": [], "limits, sliding counter": []}
    storage = storage_at(url)
    for limit in limits:
        limiter = ours(url, (Window(name="minute", limit=limit, seconds=60),))
        item = RateLimitItemPerMinute(limit)
        runs = {
            "cordon": lambda limiter=limiter: admitted(limiter),
            "limits, moving window": lambda item=item: MovingWindowRateLimiter(storage).hit(item, "x"),
            "limits, sliding counter": lambda item=item: SlidingWindowCounterRateLimiter(storage).hit(item, "x"),
        }
        for name, decide in runs.items():
            await client.flushdb()
            await fill(decide, limit)
            total = 0
            for key in await client.keys("*"):
                total += await client.memory_usage(key, samples=0) or 0
            found[name].append(total)
        await limiter.close()
    await client.flushdb()
    await client.aclose()
    await close(storage)
    return found


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


async def worst(decide: Callable[[], Awaitable[bool]], seconds: float = 6.0) -> int:
    """The most that was let through within one window's length, whatever the clock's readings are worth.

    A call counts from its beginning to its end, so that two are never held to be closer than they were.
    """
    begun = time.perf_counter()
    spans: list[tuple[float, float]] = []
    while (now := time.perf_counter()) - begun < seconds:
        # Silent for most of the window, then as fast as it goes across its edge.
        phase = (time.time() % EDGE_SECONDS) / EDGE_SECONDS
        if 0.2 < phase < 0.8:
            await asyncio.sleep(0.005)
            continue
        if await decide():
            spans.append((now, time.perf_counter()))
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
    found = {
        "cordon": await worst(lambda: admitted(limiter, "edge")),
        "limits, moving window": await worst(lambda: MovingWindowRateLimiter(storage).hit(item, "edge")),
        "limits, sliding counter": await worst(lambda: SlidingWindowCounterRateLimiter(storage).hit(item, "edge")),
    }
    await limiter.close()
    await close(storage)
    return found


async def measure(url: str, calls: int, limits: list[int]) -> None:
    console = Console()
    table = Table(title="One decision, microseconds", box=None, title_justify="left")
    for column in ("", "p50", "p99", "of the floor", "a second, 16 callers"):
        table.add_column(column, justify="left" if not column else "right")
    rows = await costs(url, calls)
    for row in rows:
        table.add_row(
            row.name, f"{row.p50:.0f}", f"{row.p99:.0f}", f"{row.p50 / rows[0].p50:.2f} x", f"{row.rate:,.0f}"
        )
    console.print(table)

    table = Table(title="\nBytes of one full window of one caller", box=None, title_justify="left")
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
