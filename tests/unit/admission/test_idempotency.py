"""Idempotency-Keys on a real Valkey: one claimer, bounded memory, and a limiter that is never crowded out."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from gateway.admission.idempotency import OVERHEAD_BYTES, Idempotency, Room
from gateway.admission.plans import Plan
from gateway.errors import InvalidParameter, Overloaded, QuotaExceeded, RequestInProgress, StoreUnavailable
from gateway.settings import RedisSettings
from tests.support.limiters import DAY, MINUTE, caller, limiter_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.valkey import ValkeyServer

ROOM = Room(total=2**20, tenant=2**19, largest=4096)
ANSWER = json.dumps({"prediction": "Glioma", "padding": "x" * 1000}).encode()
SIZED = len(ANSWER) + 200 + OVERHEAD_BYTES  # and its fingerprint and names around it


@asynccontextmanager
async def at(server: ValkeyServer, **changes: Any) -> AsyncIterator[Idempotency]:
    settings = RedisSettings(url=SecretStr(server.url), timeout_seconds=2.0)
    options = {"secret": b"s" * 32, "running_seconds": 30, "keep_seconds": 600, "room": ROOM} | changes
    idempotency = Idempotency(settings, **options)
    try:
        yield idempotency
    finally:
        await idempotency.close()


async def done(idempotency: Idempotency, tenant: str, key: str, answer: bytes = ANSWER) -> None:
    claim = await idempotency.claim(tenant, key, "f", "request-1")
    assert claim.answer is None
    await idempotency.keep(claim, answer, "request-1")


def held(server: ValkeyServer) -> dict[str, int]:
    with server.client() as redis:
        return {whose: int(number) for whose, number in redis.hgetall("idem:{idem}:bytes").items()}


async def test_one_claims_and_the_others_hear_so(valkey: ValkeyServer) -> None:
    async with at(valkey) as one, at(valkey) as other:
        claim = await one.claim("a", "k", "f", "request-1")
        with pytest.raises(RequestInProgress):
            await other.claim("a", "k", "f", "request-2")
        with pytest.raises(InvalidParameter):
            await other.claim("a", "k", "g", "request-2")
        assert (await other.claim("b", "k", "g", "request-2")).answer is None
        await one.keep(claim, ANSWER, "request-1")
        found = await other.claim("a", "k", "f", "request-3")
        assert (found.answer, found.request_id) == (ANSWER, "request-1")


async def test_another_secret_is_another_key(valkey: ValkeyServer) -> None:
    async with at(valkey) as one, at(valkey, secret=b"t" * 32) as other:
        await done(one, "a", "k")
        assert (await other.claim("a", "k", "f", "request-2")).answer is None
        assert one.fingerprint(b"a", b"b") != other.fingerprint(b"a", b"b")
        assert one.fingerprint(b"a", b"b") != one.fingerprint(b"ab", b"")


async def test_memory_is_given_back_however_an_entry_ends(valkey: ValkeyServer) -> None:
    async with at(valkey, keep_seconds=1) as idempotency, at(valkey, running_seconds=0.2) as killed:
        freed = await idempotency.claim("a", "freed", "f", "r")
        assert sum(held(valkey).values()) == 2 * (ROOM.largest + OVERHEAD_BYTES)  # of the tenant, and of all
        await idempotency.give_up(freed)
        assert held(valkey) == {}
        await done(idempotency, "a", "kept")
        assert 0 < held(valkey)["all"] < SIZED
        await killed.claim("a", "forgotten", "f", "r")
        await asyncio.sleep(1.1)
        await done(idempotency, "b", "later")
        assert set(held(valkey)) == {"all", *(await _tenants(valkey))}
        assert len(await _tenants(valkey)) == 1
        assert held(valkey)["all"] < SIZED


async def _tenants(server: ValkeyServer) -> set[str]:
    with server.client() as redis:
        return {member.partition(":")[0] for member in redis.zrange("idem:{idem}:ends", 0, -1)}


async def test_who_ended_too_late_changes_nothing_of_whoever_came_after(valkey: ValkeyServer) -> None:
    async with at(valkey) as idempotency, at(valkey, running_seconds=0.1) as slow:
        late = await slow.claim("a", "k", "f", "r1")
        await asyncio.sleep(0.2)
        now = await idempotency.claim("a", "k", "f", "r2")
        await slow.keep(late, b'"late"', "r1")
        await slow.give_up(late)
        await idempotency.keep(now, b'"now"', "r2")
        assert (await idempotency.claim("a", "k", "f", "r3")).answer == b'"now"'


async def test_a_tenant_has_its_room_and_no_more(valkey: ValkeyServer) -> None:
    async with at(valkey) as idempotency:
        kept = 0
        with pytest.raises(QuotaExceeded) as refused:  # noqa: PT012 - the loop is what fills it
            while True:
                await done(idempotency, "a", f"k{kept}")
                kept += 1
        assert kept >= (ROOM.tenant - ROOM.largest - OVERHEAD_BYTES) // SIZED
        assert max(held(valkey).values()) <= ROOM.tenant
        assert refused.value.members == {"violated-policies": ["idempotency"]}
        assert 1 <= refused.value.retry_after <= 601
        await done(idempotency, "b", "k")  # another tenant has room
        assert (await idempotency.claim("a", "k0", "f", "r")).answer == ANSWER  # and what is kept is found


async def test_all_tenants_together_have_theirs(valkey: ValkeyServer) -> None:
    async with at(valkey) as idempotency:
        with pytest.raises(Overloaded) as refused:  # noqa: PT012 - the loop is what fills it
            for number in range(10_000):
                await done(idempotency, f"tenant-{number}", "k")
        assert held(valkey)["all"] <= ROOM.total
        assert refused.value.retry_after >= 1


async def test_what_is_counted_is_no_less_than_redis_takes(valkey: ValkeyServer) -> None:
    async with at(valkey, room=Room(2**26, 2**26, 4096)) as idempotency:
        for size in (10, 1000, 4000):
            with valkey.client() as redis:
                valkey.clear()
                await done(idempotency, "a", "first", b"1")  # the script, the tables
                before = redis.info("memory")["used_memory"] - redis.info("memory")["mem_clients_normal"]
                counted = held(valkey)["all"]
                for number in range(500):
                    await done(idempotency, f"tenant-{number % 7}", f"k{number}", b'"' + b"x" * (size - 2) + b'"')
                after = redis.info("memory")["used_memory"] - redis.info("memory")["mem_clients_normal"]
            assert after - before <= held(valkey)["all"] - counted, size


async def test_an_answer_larger_than_was_set_aside_is_not_kept(valkey: ValkeyServer) -> None:
    async with at(valkey) as idempotency:
        claim = await idempotency.claim("a", "k", "f", "r")
        await idempotency.keep(claim, b"x" * 5000, "r")
        assert held(valkey) == {}
        assert (await idempotency.claim("a", "k", "f", "r")).answer is None


async def test_a_small_redis_is_never_filled_and_the_limiter_goes_on(valkey: ValkeyServer) -> None:
    with valkey.client() as redis:
        most = int(redis.config_get("maxmemory")["maxmemory"])
        small = redis.info("memory")["used_memory"] + 8 * 2**20
        redis.config_set("maxmemory", small)
        try:
            async with (
                at(valkey, room=Room(2**30, 2**30, 16 * 2**10)) as idempotency,
                limiter_at(valkey, Plan(windows=(MINUTE, DAY), concurrency=4)) as limiter,
            ):
                with pytest.raises(Overloaded):  # noqa: PT012 - the loop is what fills it
                    for number in range(100_000):
                        await done(idempotency, "a", f"k{number}", b'"' + b"x" * 8000 + b'"')
                assert redis.info("memory")["used_memory"] <= 0.8 * small
                decision = await limiter.acquire(caller(), "request-1")
                assert (decision.admitted, decision.source) == (True, "shared")
                assert not limiter.degraded
        finally:
            redis.config_set("maxmemory", most)


async def test_a_redis_that_hangs_is_a_clear_error_and_keeping_never_raises(valkey: ValkeyServer) -> None:
    settings = RedisSettings(url=SecretStr(valkey.url), timeout_seconds=0.5)
    idempotency = Idempotency(settings, secret=b"s" * 32, running_seconds=30, keep_seconds=60, room=ROOM)
    claim = await idempotency.claim("a", "k", "f", "r")
    with valkey.client() as redis:
        redis.client_pause(3000)
        try:
            with pytest.raises(StoreUnavailable):
                await idempotency.claim("a", "other", "f", "r")
            await idempotency.keep(claim, ANSWER, "r")
            await idempotency.give_up(claim)
        finally:
            redis.client_unpause()
    await idempotency.close()
