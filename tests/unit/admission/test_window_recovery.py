"""Windows that Redis lost are told to it again, by all who let something in, before anything is decided."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.admission import window_recovery
from gateway.admission.decision import Claim
from gateway.admission.plans import Plan, Window
from gateway.admission.window_server import WindowsUnsettledError
from gateway.errors import LimiterUnavailable
from tests.support.limiters import DAY, HEAD, MINUTE, SUM, StoredWindow, admitted, caller, limiter_at
from tests.support.valkey import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.admission.limiter import Limiter
    from gateway.admission.window_recovery import Recovery

PLAN = Plan(windows=(MINUTE,))


@pytest.fixture(scope="module")
def started() -> Iterator[ValkeyServer]:
    with tempfile.TemporaryDirectory(prefix="cordon-", dir="/tmp") as folder:
        server = ValkeyServer(Path(folder)).start()
        yield server
        server.stop()


@pytest.fixture
def server(started: ValkeyServer) -> ValkeyServer:
    """One that nobody else asks: it may be flushed."""
    flush(started)
    return started


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is awaited here is mostly the next pulse."""
    monkeypatch.setattr(window_recovery, "PULSE_SECONDS", 0.04)


@pytest.fixture
async def pair(server: ValkeyServer) -> AsyncIterator[tuple[Limiter, Limiter]]:
    """Two processes' limiters that have heard of each other."""
    async with two(server, PLAN) as both:
        yield both


class two:  # noqa: N801 - reads as a function
    def __init__(self, server: ValkeyServer, plan: Plan, **options: object) -> None:
        self._stack, self._arguments, self._options = AsyncExitStack(), (server, plan), options

    async def __aenter__(self) -> tuple[Limiter, Limiter]:
        one, other = [
            await self._stack.enter_async_context(limiter_at(*self._arguments, **self._options)) for _ in range(2)
        ]
        await one.ping()
        await other.ping()
        deadline = time.monotonic() + 5
        while not (recovery_of(one).peers and recovery_of(other).peers):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        return one, other

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def recovery_of(limiter: Limiter) -> Recovery:
    held = limiter._shared._servers.one
    assert held is not None
    return held.recovery


def flush(server: ValkeyServer) -> None:
    with server.client() as client:
        client.flushall()


async def test_what_others_let_in_is_known_again_after_a_flush(
    server: ValkeyServer, pair: tuple[Limiter, Limiter]
) -> None:
    one, other = pair
    assert await admitted(one, 6) == 6
    assert await admitted(other, 1) == 1
    flush(server)
    assert await admitted(other, 20) == 3
    assert (recovery_of(one).recovered, recovery_of(other).recovered) == (1, 1)


async def test_a_redis_that_comes_back_empty_reopens_nothing_for_the_one_who_filled_it(server: ValkeyServer) -> None:
    async with limiter_at(server, Plan(windows=(DAY,))) as limiter:
        assert await admitted(limiter, 3) == 3
        flush(server)
        assert await admitted(limiter, 3) == 0


async def test_one_that_is_never_asked_again_tells_it_all_the_same(
    server: ValkeyServer, pair: tuple[Limiter, Limiter]
) -> None:
    one, other = pair
    assert await admitted(one, MINUTE.limit) == MINUTE.limit
    flush(server)
    assert await admitted(other, 5) == 0
    assert StoredWindow.read(server, "rl:{key_a}:60").total == MINUTE.limit


async def test_requests_that_run_are_known_again(server: ValkeyServer) -> None:
    async with two(server, Plan(concurrency=3)) as (one, other):
        assert await admitted(one, 2) == 2
        flush(server)
        assert await admitted(other, 5) == 1
        await one.release(caller(), "request-0")
        assert await admitted(other, 5) == 1


async def test_a_flush_while_many_ask_opens_nothing_and_costs_nobody_their_limit(server: ValkeyServer) -> None:
    plan = Plan(windows=(Window(name="minute", limit=300, seconds=60),))
    async with two(server, plan) as pair:
        asking = [asyncio.create_task(admitted(limiter, 40)) for limiter in pair * 8]
        for _ in range(3):
            await asyncio.sleep(0.03)
            flush(server)
        assert sum(await asyncio.gather(*asking)) == 300


async def test_what_a_process_that_is_gone_let_in_stays_where_redis_kept_it(
    server: ValkeyServer, pair: tuple[Limiter, Limiter]
) -> None:
    one, other = pair
    assert await admitted(one, 3) == 3
    assert await admitted(other, 4) == 4
    await other.close()
    recovery = recovery_of(one)
    assert recovery.generation is not None
    recovery.lost(recovery.generation, doubt=True)
    assert await admitted(one, 20) == 3
    assert StoredWindow.read(server, "rl:{key_a}:60").total == MINUTE.limit


async def test_one_that_comes_late_is_waited_for_and_then_added(
    server: ValkeyServer, pair: tuple[Limiter, Limiter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_recovery, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(window_recovery, "_MISSING_SECONDS", 0.5)
    one, other = pair
    assert await admitted(one, 6) == 6
    keeper = recovery_of(one)._keeper  # as if its machine stood still
    assert keeper is not None
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    flush(server)
    with pytest.raises(LimiterUnavailable) as refused:
        await other.acquire(caller(), "a")
    assert refused.value.retry_after is not None
    await asyncio.sleep(0.6)
    assert await admitted(other, 1) == 1  # it is held to be gone
    recovery_of(one)._keeper = None
    assert await admitted(one, 1) == 1
    assert await admitted(other, 20) == MINUTE.limit - 8


async def test_a_caller_is_told_of_by_all_windows_that_it_ever_had(server: ValkeyServer) -> None:
    plan = Plan(windows=(MINUTE, DAY))
    async with two(server, plan) as (one, other):
        await one.acquire(caller(), "a", cost=2)
        flush(server)
        assert await admitted(other, 5) == 1
    day = StoredWindow.read(server, "rl:{key_a}:86400")
    assert (day.total, len(day.charges)) == (3, 25)


async def test_what_is_told_is_no_younger_than_it_must_be(server: ValkeyServer) -> None:
    plan = Plan(windows=(Window(name="short", limit=4, seconds=1.0),))
    async with two(server, plan) as (one, other):
        began = time.monotonic()
        assert await admitted(one, 4) == 4
        await asyncio.sleep(0.6)
        flush(server)
        while not await admitted(other, 1):
            await asyncio.sleep(0.005)
            assert time.monotonic() < began + 5
        assert time.monotonic() - began >= 1.0
    stored = StoredWindow.read(server, "rl:{key_a}:1")
    assert stored.total < 5, "what is over is not told for ever"


async def test_a_hash_and_a_window_from_the_future_count_as_if_they_came_now(
    server: ValkeyServer, pair: tuple[Limiter, Limiter]
) -> None:
    one, other = pair
    assert await admitted(one, 2) == 2
    assert await admitted(one, 2, caller(key_id="key_b")) == 2
    with server.client(text=False) as client:
        client.delete("rl:{key_a}:60")
        client.hset("rl:{key_a}:60", mapping={"17": 6, "new": 29921239, "old": 29921239, "sum": 6})
        client.set("rl:{key_b}:60", HEAD.pack(1, 60, 2**40) + bytes(60) + b"\x07" + SUM.pack(7))
    recovery = recovery_of(one)
    assert recovery.generation is not None
    recovery.lost(recovery.generation, doubt=True)
    assert await admitted(other, 20) == 4
    assert await admitted(other, 20, caller(key_id="key_b")) == 3


async def test_sums_of_reports_do_not_stay(server: ValkeyServer, pair: tuple[Limiter, Limiter]) -> None:
    one, other = pair
    assert await admitted(one, 2) == 2
    flush(server)
    assert await admitted(other, 1) == 1
    with server.client() as client:
        lives = {name: client.pttl(name) for name in client.scan_iter("rl:*")}
    assert len(lives) == 2
    assert lives.pop("rl:{key_a}:60") > 59_000
    assert max(lives.values()) <= 60_000


async def test_a_thousand_callers_are_told_of(server: ValkeyServer) -> None:
    async with two(server, PLAN) as (one, other):
        for number in range(1000):
            await one.acquire(caller(key_id=f"key_{number}"), "a", cost=MINUTE.limit)
        flush(server)
        for number in (0, 500, 999):
            assert await admitted(other, 1, caller(key_id=f"key_{number}")) == 0


async def test_a_process_that_starts_decides_when_another_has_confirmed_the_time(server: ValkeyServer) -> None:
    async with limiter_at(server, PLAN) as one:
        assert await admitted(one, 4) == 4
        async with limiter_at(server, PLAN) as new:
            began = time.monotonic()
            assert await admitted(new, 20) == 6
            assert time.monotonic() - began < 2
        assert (recovery_of(one).recovered, recovery_of(new).recovered) == (0, 0)


async def test_after_all_have_gone_the_windows_are_still_there(server: ValkeyServer) -> None:
    async with limiter_at(server, PLAN) as one:
        assert await admitted(one, 4) == 4
    async with limiter_at(server, PLAN) as next_one:
        assert await admitted(next_one, 20) == 6


async def test_what_one_call_finds_in_doubt_another_that_is_under_way_does_not_believe(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with limiter_at(server, PLAN) as limiter:
        await limiter.ping()
        held = limiter._shared._servers.one
        assert held is not None
        answered = held.server._evaluate

        async def found_meanwhile(*arguments: Any) -> Any:
            answer = await answered(*arguments)
            held.server.clock.forget()  # as when the other's answer showed that the clock was set
            return answer

        monkeypatch.setattr(held.server, "_evaluate", found_meanwhile)
        with pytest.raises(WindowsUnsettledError):
            await limiter._shared.decide(Claim("key_a", PLAN, 1, "0" * 16, 60, 0), ())
