from __future__ import annotations

import asyncio
import math
import re
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from gateway.admission.decision import LimitReached
from gateway.admission.plans import Plan, Window
from gateway.errors import LimiterUnavailable
from tests.support.limiters import DAY, HEAD, MINUTE, SUM, StoredWindow, admitted, caller, limiter_at

if TYPE_CHECKING:
    from tests.support.valkey import ValkeyServer


async def test_a_hundred_at_once_over_four_workers_are_exactly_the_limit(valkey: ValkeyServer) -> None:
    plan = Plan(windows=(MINUTE,))
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(limiter_at(valkey, plan)) for _ in range(4)]
        counts = await asyncio.gather(*(admitted(worker, 1) for worker in workers * 25))
    assert sum(counts) == 10


async def test_what_one_window_refuses_is_charged_to_none(valkey: ValkeyServer) -> None:
    async with limiter_at(valkey, Plan(windows=(MINUTE, DAY))) as limiter:
        assert await admitted(limiter, 10) == 3
    assert StoredWindow.read(valkey, "rl:{key_a}:60").total == 3
    assert StoredWindow.read(valkey, "rl:{key_a}:86400").total == 3


async def test_a_denied_call_costs_nothing_however_often_it_is_made(valkey: ValkeyServer) -> None:
    plan = Plan(windows=(Window(name="short", limit=2, seconds=0.3),))
    async with limiter_at(valkey, plan) as limiter, limiter_at(valkey, plan) as other:
        assert await admitted(limiter, 2) == 2
        end = time.monotonic() + 0.25
        while time.monotonic() < end:
            assert await admitted(other, 1) == 0
        await asyncio.sleep(0.15)
        assert await admitted(other, 2) == 2


async def test_cost_is_charged_and_a_cost_beyond_the_limit_is_never_let_in(valkey: ValkeyServer) -> None:
    async with limiter_at(valkey, Plan(windows=(MINUTE,))) as limiter:
        decision = await limiter.acquire(caller(), "a", cost=7)
        assert decision.windows[0].remaining == 3
        with pytest.raises(LimitReached):
            await limiter.acquire(caller(), "b", cost=4)
        assert (await limiter.acquire(caller(), "c", cost=3)).windows[0].remaining == 0
        with pytest.raises(LimitReached, match="ever allows") as refused:
            await limiter.acquire(caller(key_id="key_b"), "d", cost=11)
        assert refused.value.retry_after is None


async def test_callers_do_not_share_windows(valkey: ValkeyServer) -> None:
    async with limiter_at(valkey, Plan(windows=(DAY,))) as limiter:
        assert await admitted(limiter, 5, caller(key_id="key_a")) == 3
        assert await admitted(limiter, 5, caller(key_id="key_b")) == 3


async def test_at_most_so_many_run_at_once_over_all_workers(valkey: ValkeyServer) -> None:
    plan = Plan(concurrency=3)
    async with limiter_at(valkey, plan) as one, limiter_at(valkey, plan) as other:
        assert await admitted(one, 2) == 2
        assert await admitted(other, 5) == 1
        with pytest.raises(LimitReached) as refused:
            await other.acquire(caller(), "x")
        assert refused.value.members == {"violated-policies": ["inflight"]}
        await one.release(caller(), "request-0")
        assert await admitted(other, 5) == 1


async def test_a_request_id_chosen_twice_takes_two_leases(valkey: ValkeyServer) -> None:
    async with limiter_at(valkey, Plan(concurrency=2)) as limiter:
        await limiter.acquire(caller(), "same")
        await limiter.acquire(caller(), "same")
        with pytest.raises(LimitReached):
            await limiter.acquire(caller(), "same")
        await limiter.release(caller(), "same")
        await limiter.acquire(caller(), "same")


async def test_releasing_what_was_not_acquired_changes_nothing(valkey: ValkeyServer) -> None:
    async with limiter_at(valkey, Plan(concurrency=1)) as limiter:
        await limiter.acquire(caller(), "a")
        await limiter.release(caller(), "b")
        await limiter.release(caller(key_id="key_b"), "a")
        with pytest.raises(LimitReached):
            await limiter.acquire(caller(), "c")


async def test_a_lease_that_is_never_released_ends_by_itself(valkey: ValkeyServer) -> None:
    plan = Plan(concurrency=1)
    async with limiter_at(valkey, plan) as one, limiter_at(valkey, plan) as other:
        await asyncio.gather(one.ping(), other.ping())
        await one.acquire(caller(), "a", lease_seconds=0.1)
        assert await admitted(other, 1) == 0
        await asyncio.sleep(0.11)
        assert await admitted(other, 1) == 1


async def test_a_caller_cancelled_while_waiting_holds_no_lease(valkey: ValkeyServer) -> None:
    async with limiter_at(valkey, Plan(concurrency=1)) as limiter:
        await limiter.ping()
        for ticks in range(8):  # at whichever point the cancellation falls
            task = asyncio.create_task(limiter.acquire(caller(), "a"))
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled():
                await limiter.release(caller(), "a")
            await asyncio.gather(*limiter._background)
        assert (await limiter.acquire(caller(), "b")).running == 1


async def test_nothing_that_a_caller_sent_and_no_name_is_stored(valkey: ValkeyServer) -> None:
    async with limiter_at(valkey, Plan(windows=(MINUTE,), concurrency=5)) as limiter:
        await limiter.acquire(caller(), "DOE-JANE-19700101")
        with valkey.client(text=False) as client:
            names = sorted(client.keys("rl:*"))
            stored = b" ".join([*names, client.get(names[0]), *client.zrange(names[1], 0, -1)])
    assert names == [b"rl:{key_a}:60", b"rl:{key_a}:inflight"]
    assert b"DOE" not in stored
    assert b"owner" not in stored


async def test_everything_stored_expires(valkey: ValkeyServer) -> None:
    async with limiter_at(valkey, Plan(windows=(MINUTE, DAY), concurrency=5)) as limiter:
        await limiter.acquire(caller(), "a", lease_seconds=30)
    with valkey.client() as client:
        life = {name: client.pttl(name) / 1000 for name in client.scan_iter()}
    assert 59 < life["rl:{key_a}:60"] <= 61.1
    assert 86390 < life["rl:{key_a}:86400"] <= 25 * DAY.bucket_us / 1e6
    assert 29 < life["rl:{key_a}:inflight"] <= 60.1


async def test_headers_follow_the_draft_on_both_verdicts(valkey: ValkeyServer) -> None:
    plan = Plan(windows=(MINUTE, DAY), concurrency=8)
    async with limiter_at(valkey, plan) as limiter, limiter_at(valkey, plan) as fresh:
        decision = await limiter.acquire(caller(), "a")
        policy = '"minute";q=10;w=60, "day";q=3;w=86400, "inflight";q=8;qu="concurrent-requests"'
        headers = dict(decision.headers)
        assert headers["RateLimit-Policy"] == policy
        assert re.fullmatch(r'"minute";r=9;t=6[01], "day";r=2;t=\d{5}, "inflight";r=7', headers["RateLimit"])

        await admitted(limiter, 2)
        for who in (limiter, fresh, fresh):  # refused by the process, by Redis, and by what Redis said before
            with pytest.raises(LimitReached) as refused:
                await who.acquire(caller(), "b")
            headers = dict(refused.value.headers)
            assert headers["RateLimit-Policy"] == policy
            match = re.fullmatch(r'"minute";r=7;t=\d+, "day";r=0;t=(\d+), "inflight";r=5', headers["RateLimit"])
            assert match is not None
            assert refused.value.retry_after is not None
            assert int(match[1]) <= math.ceil(refused.value.retry_after) <= int(match[1]) * 1.1 + 1
            assert refused.value.members == {"violated-policies": ["day"]}


async def test_a_plan_without_limits_asks_nobody_and_says_nothing(valkey: ValkeyServer) -> None:
    async with limiter_at(valkey, Plan(windows=(DAY,))) as limiter:
        decision = await limiter.acquire(caller("free"), "a")
        await limiter.release(caller("free"), "a")
    assert decision.headers == ()
    with valkey.client() as client:
        assert client.keys("rl:*") == []


async def test_a_shadow_plan_reports_and_refuses_nothing(valkey: ValkeyServer) -> None:
    async with limiter_at(valkey, Plan(windows=(DAY,), shadow=True)) as limiter:
        decisions = [await limiter.acquire(caller(), str(number)) for number in range(5)]
    assert [decision.violated for decision in decisions] == [(), (), (), ("day",), ("day",)]
    assert all(decision.admitted for decision in decisions)


async def test_a_known_refusal_costs_no_trip(valkey: ValkeyServer) -> None:
    plan = Plan(windows=(DAY,))
    async with limiter_at(valkey, plan) as one, limiter_at(valkey, plan) as other:
        assert await admitted(one, 3) == 3
        assert await admitted(other, 1) == 0
        with valkey.client() as client:
            before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
            assert await admitted(other, 50) == 0
            assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == before


async def test_flushed_scripts_are_loaded_again(valkey: ValkeyServer) -> None:
    async with limiter_at(valkey, Plan(windows=(MINUTE,))) as limiter:
        await limiter.acquire(caller(), "a")
        with valkey.client() as client:
            client.script_flush()
        decision = await limiter.acquire(caller(), "b")
    assert (decision.source, decision.windows[0].remaining) == ("shared", 8)


async def test_a_clock_that_went_back_reopens_nothing_and_heals_within_one_window(valkey: ValkeyServer) -> None:
    window = Window(name="short", limit=3, seconds=0.5)
    plan = Plan(windows=(window,))
    key = "rl:{key_a}:0.5"
    async with limiter_at(valkey, plan) as limiter, limiter_at(valkey, plan) as fresh:
        assert await admitted(limiter, 3) == 3
        ahead, life = 3600 * 1_000_000 // window.bucket_us, 61 * window.bucket_us // 1000 + 1
        with valkey.client(text=False) as client:  # as a server would have left it whose clock was an hour ahead
            stored = client.get(key)
            width, oldest, newest = HEAD.unpack_from(stored)
            client.set(key, HEAD.pack(width, oldest, newest + ahead) + stored[HEAD.size :], px=3_600_000)
        assert await admitted(fresh, 1) == 0
        assert StoredWindow.read(valkey, key).charges == (0,) * window.buckets + (3,)
        with valkey.client() as client:
            assert client.pttl(key) <= life
        await asyncio.sleep(life / 1000)
        assert await admitted(fresh, 5) == 3


async def test_a_window_in_the_form_before_this_one_is_taken_over(valkey: ValkeyServer) -> None:
    with valkey.client() as client:  # a hash: the charges of a ring of buckets, and their sum
        client.hset("rl:{key_a}:60", mapping={"17": 6, "new": 29921239, "old": 29921239, "sum": 6})
    async with limiter_at(valkey, Plan(windows=(MINUTE,))) as limiter:
        assert await admitted(limiter, 20) == MINUTE.limit - 6
    assert StoredWindow.read(valkey, "rl:{key_a}:60").total == MINUTE.limit


async def test_a_window_cut_into_other_buckets_is_taken_over(valkey: ValkeyServer) -> None:
    with valkey.client() as client:
        client.set("rl:{key_a}:60", HEAD.pack(1, 0, 5) + bytes([4, 0, 0, 3]) + SUM.pack(7))
    async with limiter_at(valkey, Plan(windows=(MINUTE,))) as limiter:
        assert await admitted(limiter, 20) == MINUTE.limit - 7


async def test_what_is_no_window_is_not_taken_for_an_empty_one(valkey: ValkeyServer) -> None:
    with valkey.client() as client:
        client.rpush("rl:{key_a}:60", "something")
        client.set("rl:{key_b}:60", "short")
    async with limiter_at(valkey, Plan(windows=(MINUTE,)), failure="closed") as limiter:
        for name in ("key_a", "key_b"):
            with pytest.raises(LimiterUnavailable):
                await limiter.acquire(caller(key_id=name), "a")


async def test_cells_grow_with_what_they_hold(valkey: ValkeyServer) -> None:
    day = Window(name="day", limit=10**9, seconds=86400)
    async with limiter_at(valkey, Plan(windows=(day,))) as limiter:
        total = 0
        for cost in (1, 200, 54, 1, 70_000, 2**24, 10**9 - 2**24 - 70_256):
            decision = await limiter.acquire(caller(), "a", cost)
            total += cost
            stored = StoredWindow.read(valkey, "rl:{key_a}:86400")
            assert (stored.total, decision.windows[0].remaining) == (total, day.limit - total)
        assert total == day.limit
        assert await admitted(limiter, 1) == 0


async def test_a_full_window_of_any_limit_takes_few_bytes(valkey: ValkeyServer) -> None:
    for limit in (60, 1_000, 10_000):
        plan = Plan(windows=tuple(Window(name=f"w{n}", limit=limit, seconds=n) for n in (1, 60, 86_400)), concurrency=8)
        async with limiter_at(valkey, plan) as limiter:
            await limiter.acquire(caller(key_id=f"key_{limit}"), "a", limit)
        with valkey.client() as client:
            keys = client.keys(f"rl:{{key_{limit}}}:*")
            assert len(keys) == 4
            assert all(client.memory_usage(key, samples=0) <= 300 for key in keys)
