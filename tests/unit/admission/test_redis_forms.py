"""The limiter and the channel of changes on every form of Redis: one server, a Cluster, a master behind a Sentinel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from gateway.admission.changes import CHANNEL
from gateway.admission.idempotency import Idempotency, Room
from gateway.admission.limiter import Limiter
from gateway.admission.plans import Plan, Plans
from gateway.admission.redis_url import connect
from gateway.errors import LimiterUnavailable, Overloaded
from gateway.settings import RedisSettings
from tests.support.announcers import channel, listening, until
from tests.support.limiters import DAY, MINUTE, admitted, caller
from tests.support.valkey_cluster import Cluster, Watched

if TYPE_CHECKING:
    from collections.abc import Iterator

BOTH = Plan(windows=(MINUTE, DAY.model_copy(update={"limit": 100})), concurrency=200)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    servers = Cluster(tmp_path_factory.mktemp("cluster"))
    yield servers
    servers.stop()


@pytest.fixture
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    servers = Watched(tmp_path_factory.mktemp("sentinel"))
    yield servers
    servers.stop()


def limiter_of(url: str, **options: object) -> Limiter:
    settings = RedisSettings(url=SecretStr(url), timeout_seconds=2.0, pool_size=8)
    return Limiter(settings, Plans({"plan": BOTH}), **options)  # type: ignore[arg-type]


async def test_on_a_cluster_every_caller_has_its_whole_limit_and_no_more(cluster: Cluster) -> None:
    limiters = [limiter_of(cluster.url) for _ in range(3)]
    try:
        names = [f"key_{number}" for number in range(12)]
        for name in names:
            counts = await asyncio.gather(*(admitted(one, 8, caller(key_id=name)) for one in limiters))
            assert sum(counts) == MINUTE.limit
        used = []
        for node in cluster.nodes:
            with node.client() as client:
                used.append(len(client.keys("rl:*")))
        assert all(used), "the callers' keys lie on all three nodes"
        assert sum(used) == 3 * len(names)
    finally:
        for one in limiters:
            await one.close()


async def test_a_node_of_a_cluster_that_loses_all_is_told_again(cluster: Cluster) -> None:
    one, other = limiter_of(cluster.url), limiter_of(cluster.url)
    names = [f"flushed_{number}" for number in range(12)]
    try:
        await asyncio.gather(one.ping(), other.ping())
        for name in names:
            assert await admitted(one, 6, caller(key_id=name)) == 6
        with cluster.nodes[1].client() as client:
            assert client.keys("rl:{flushed_*:60"), "some of them are there"
            client.flushall()
        for name in names:
            assert await admitted(other, 8, caller(key_id=name)) == 4
        recovered = [held.recovery.recovered for held in await other._shared._servers.all()]
        assert sorted(recovered) == [0, 0, 1], "the other two nodes have lost nothing"
    finally:
        await one.close()
        await other.close()


async def test_kept_answers_have_one_bound_over_all_nodes_of_a_cluster(cluster: Cluster) -> None:
    settings = RedisSettings(url=SecretStr(cluster.url), timeout_seconds=2.0)
    room = Room(total=2**20, tenant=2**20, largest=4096)
    idempotency = Idempotency(settings, secret=b"s" * 32, running_seconds=30, keep_seconds=600, room=room)
    try:
        kept = 0
        with pytest.raises(Overloaded):  # noqa: PT012 - the loop is what fills it
            while True:
                claim = await idempotency.claim(f"tenant-{kept}", "k", "f", "r")
                await idempotency.keep(claim, b"x" * 3000, "r")
                kept += 1
        assert kept * 3000 < room.total
        found = await idempotency.claim("tenant-0", "k", "f", "r")
        assert found.answer == b"x" * 3000
    finally:
        await idempotency.close()


async def test_more_calls_at_once_than_connections_wait_for_their_turn(cluster: Cluster) -> None:
    limiter = limiter_of(cluster.url)
    try:
        counts = await asyncio.gather(*(admitted(limiter, 1, caller(key_id=f"many_{n}")) for n in range(100)))
        assert sum(counts) == 100
        assert not limiter.degraded
    finally:
        await limiter.close()


async def test_a_node_that_is_gone_is_an_error_of_the_dependency_and_the_others_go_on(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    cluster = Cluster(tmp_path_factory.mktemp("broken"))
    limiter = limiter_of(cluster.url, failure="closed")
    try:
        assert await admitted(limiter, 1) == 1
        for node in cluster.nodes:
            node.kill()
        with pytest.raises(LimiterUnavailable):
            await limiter.acquire(caller(), "r1")
    finally:
        await limiter.close()
        cluster.stop()


async def test_whichever_node_of_a_cluster_a_change_is_told_to_all_hear_it(cluster: Cluster) -> None:
    async with listening(cluster.url) as one, listening(cluster.url) as two:
        heard: list[str] = []
        two.on("key", heard.append)
        for node in cluster.nodes:
            with node.client() as client:
                client.publish(CHANNEL, f"key at-{node.port}")
        one.tell("key", "key_x")
        await until(lambda: len(heard) == 4)
        assert set(heard) == {"key_x", *(f"at-{node.port}" for node in cluster.nodes)}


async def test_after_a_failover_the_new_master_is_asked_and_nothing_is_admitted_twice(watched: Watched) -> None:
    limiter = limiter_of(watched.url, failure="closed")
    changes = channel(watched.url)
    changes.start()
    heard: list[str] = []
    changes.on("switches", heard.append)
    try:
        await changes.listening.wait()
        assert await admitted(limiter, MINUTE.limit - 3) == MINUTE.limit - 3
        with watched.replica.client() as client:  # as far as it is copied when the master dies
            assert client.keys("rl:*")
        watched.fail_over()
        total = 0
        for number in range(200):
            try:
                total += await admitted(limiter, 1, cost=1)
            except LimiterUnavailable:
                await asyncio.sleep(0.1)
            if total == 3 and number > 20:
                break
        assert total == 3
        assert await admitted(limiter, 5) == 0
        await until(changes.listening.is_set)  # and the channel is the new master's
        with watched.replica.client() as client:
            client.publish(CHANNEL, "switches said-there")
        await until(lambda: "said-there" in heard)
    finally:
        await limiter.close()
        await changes.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "redis+other://127.0.0.1",
        "unix+cluster:///tmp/x",
        "redis+sentinel://127.0.0.1:26379",
        "redis+cluster://",
        "redis+cluster://a:notaport",
        "redis+cluster://user:secret@:6379",
    ],
)
def test_a_url_of_no_form_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="REDIS_URL") as caught:
        connect(RedisSettings(url=SecretStr(url)))
    assert "secret" not in str(caught.value)
