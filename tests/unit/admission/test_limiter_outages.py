"""What the limiter does while Redis is away, and when it comes back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from gateway.admission.limiter import Limiter
from gateway.admission.plans import Plan, Plans, Window
from gateway.errors import LimiterUnavailable
from gateway.settings import RedisSettings
from tests.support.limiters import DAY, MINUTE, admitted, caller, limiter_at
from tests.support.valkey import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="cordon-", dir="/tmp") as folder:
        server = ValkeyServer(Path(folder)).start()
        yield server
        server.stop()


async def until(condition: Callable[[], Any], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def test_while_redis_is_away_each_worker_admits_its_share(own_valkey: ValkeyServer) -> None:
    plan = Plan(windows=(MINUTE, Window(name="hour", limit=100, seconds=3600)), concurrency=9)
    async with limiter_at(own_valkey, plan, workers=3) as limiter:
        own_valkey.kill()
        decision = await limiter.acquire(caller(), "a")
        assert decision.source == "local"
        assert dict(decision.headers)["RateLimit-Policy"].startswith('"minute";q=3;w=60, "hour";q=33;w=3600')
        assert await admitted(limiter, 20) == 2
        with pytest.raises(LimiterUnavailable):
            await limiter.ping()


async def test_a_share_is_at_least_one(own_valkey: ValkeyServer) -> None:
    async with limiter_at(own_valkey, Plan(windows=(DAY,)), workers=8) as limiter:
        own_valkey.kill()
        assert await admitted(limiter, 5) == 1


async def test_one_worker_never_admits_more_than_the_limit_though_redis_goes_and_comes(
    own_valkey: ValkeyServer,
) -> None:
    async with limiter_at(own_valkey, Plan(windows=(MINUTE,))) as limiter:
        count = await admitted(limiter, 4)
        own_valkey.kill()
        count += await admitted(limiter, 4)
        own_valkey.start()
        await until(lambda: _shared(limiter))
        count += await admitted(limiter, 20)
    assert count == 10


async def _shared(limiter: Limiter) -> bool:
    await limiter.acquire(caller(key_id=f"key_{time.monotonic_ns()}"), "probe")
    return not limiter.degraded


async def test_what_was_let_in_while_redis_was_away_is_told_to_it(own_valkey: ValkeyServer) -> None:
    plan = Plan(windows=(MINUTE,))
    async with limiter_at(own_valkey, plan) as limiter, limiter_at(own_valkey, plan) as other:
        own_valkey.kill()
        assert await admitted(limiter, 6) == 6
        own_valkey.start()
        await until(lambda: _shared(limiter))
        assert await admitted(limiter, 1) == 1
        assert await admitted(other, 20) == 3


async def test_redis_back_is_shared_again_within_two_seconds(own_valkey: ValkeyServer) -> None:
    async with limiter_at(own_valkey, Plan(windows=(MINUTE,))) as limiter:
        await limiter.acquire(caller(), "a")
        own_valkey.kill()
        for number in range(10):
            await limiter.acquire(caller(key_id=f"key_{number}"), "b")
        assert limiter.degraded
        own_valkey.start()
        began = time.monotonic()
        await until(lambda: _shared(limiter))
        assert time.monotonic() - began < 3


async def test_closed_refuses_while_redis_is_away(own_valkey: ValkeyServer) -> None:
    async with limiter_at(own_valkey, Plan(windows=(MINUTE,)), failure="closed") as limiter:
        own_valkey.kill()
        for number in range(8):
            with pytest.raises(LimiterUnavailable) as refused:
                await limiter.acquire(caller(), str(number))
            assert refused.value.retry_after is not None
        own_valkey.start()
        await until(lambda: _answers(limiter))
        assert await admitted(limiter, 20) == 9  # one was spent to see that it answers


async def _answers(limiter: Limiter) -> bool:
    try:
        await limiter.acquire(caller(), "probe")
    except LimiterUnavailable:
        return False
    return True


async def test_open_lets_all_in_while_redis_is_away(own_valkey: ValkeyServer) -> None:
    async with limiter_at(own_valkey, Plan(windows=(DAY,), concurrency=1), failure="open") as limiter:
        own_valkey.kill()
        assert await admitted(limiter, 20) == 20


async def test_releasing_while_redis_is_away_raises_nothing(own_valkey: ValkeyServer) -> None:
    async with limiter_at(own_valkey, Plan(concurrency=1)) as limiter:
        await limiter.acquire(caller(), "a")
        own_valkey.kill()
        await limiter.release(caller(), "a")
        assert (await limiter.acquire(caller(), "b")).source == "local"


async def test_a_redis_that_hangs_costs_a_short_wait_and_then_none(valkey: ValkeyServer) -> None:
    async with limiter_at(valkey, Plan(windows=(MINUTE,)), timeout_seconds=0.05) as limiter:
        with valkey.client() as client:
            client.client_pause(1500, all=True)
            waits = []
            for number in range(12):
                began = time.monotonic()
                await limiter.acquire(caller(key_id=f"key_{number}"), "a")
                waits.append(time.monotonic() - began)
            client.client_unpause()
    assert limiter.degraded
    assert max(waits) < 0.5
    assert sum(waits[5:]) < 0.5


async def test_a_place_that_redis_was_not_told_is_free_is_free_once_it_answers(own_valkey: ValkeyServer) -> None:
    async with limiter_at(own_valkey, Plan(concurrency=9), timeout_seconds=0.05) as limiter:
        for number in range(9):
            await limiter.acquire(caller(), f"request-{number}")
        own_valkey.hang()
        for number in range(9):
            await limiter.release(caller(), f"request-{number}")
        assert limiter.degraded
        own_valkey.go_on()
        with own_valkey.client() as client:

            async def free() -> bool:
                return await _shared(limiter) and client.zcard("rl:{key_a}:inflight") == 0

            await until(free)
        assert await admitted(limiter, 20) == 9


@pytest.mark.parametrize("url", ["http://127.0.0.1", "nonsense"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="REDIS_URL must start with"):
        Limiter(RedisSettings(url=SecretStr(url)), Plans({"plan": Plan()}))


@pytest.mark.parametrize("url", ["redis://u:p@127.0.0.1:1/0", "rediss://127.0.0.1:1", "unix:///tmp/none.sock?db=1"])
async def test_the_url_forms_of_redis_are_taken(url: str) -> None:
    limiter = Limiter(RedisSettings(url=SecretStr(url)), Plans({"plan": Plan(windows=(DAY,))}))
    assert (await limiter.acquire(caller(), "a")).source == "local"
    await limiter.close()
