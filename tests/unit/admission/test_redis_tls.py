"""Redis over TLS, with a certificate on both sides: one server, a Cluster, and a master behind a Sentinel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from redis.exceptions import RedisError

from gateway.admission.limiter import Limiter
from gateway.admission.plans import Plan, Plans
from gateway.admission.redis_url import close, connect, node
from gateway.settings import RedisSettings
from tests.support.certificates import Authority
from tests.support.limiters import MINUTE, admitted, caller
from tests.support.tls_door import TlsDoor
from tests.support.valkey_cluster import SLOTS, Node, free_ports, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.valkey import ValkeyServer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def door(authority: Authority) -> Iterator[TlsDoor]:
    with TlsDoor(authority.server_context(mutual=True)) as door:
        yield door


def settings_of(url: str, authority: Authority, *, known: bool = True) -> RedisSettings:
    certificate, key = map(str, authority.client) if known else ("", "")
    return RedisSettings(
        url=SecretStr(url), timeout_seconds=5.0, tls_ca=str(authority.ca), tls_certificate=certificate, tls_key=key
    )


async def ping(settings: RedisSettings) -> bool:
    client: Any = connect(settings)
    try:
        return bool(await client.ping())
    finally:
        await close(client)


async def test_one_server(valkey: ValkeyServer, authority: Authority, door: TlsDoor) -> None:
    door.behind = valkey.socket
    settings = settings_of(f"rediss://localhost:{door.port}/0", authority)
    limiter = Limiter(settings, Plans({"plan": Plan(windows=(MINUTE,), concurrency=200)}))
    try:
        assert await admitted(limiter, MINUTE.limit + 5, caller(key_id="over-tls")) == MINUTE.limit
    finally:
        await limiter.close()
    assert door.secure > 0


async def test_without_a_certificate_nobody_is_let_in(
    valkey: ValkeyServer, authority: Authority, door: TlsDoor
) -> None:
    door.behind = valkey.socket
    settings = settings_of(f"rediss://localhost:{door.port}/0", authority, known=False)
    with pytest.raises((RedisError, OSError)):
        await ping(settings)
    assert door.secure == 0


async def test_a_server_that_nobody_vouches_for_is_not_talked_to(
    valkey: ValkeyServer, authority: Authority, door: TlsDoor, tmp_path: Path
) -> None:
    door.behind = valkey.socket
    with pytest.raises((RedisError, OSError), match="certificate verify failed"):
        await ping(settings_of(f"rediss://localhost:{door.port}/0", Authority(tmp_path)))


async def test_a_server_of_another_name_is_not_talked_to(
    valkey: ValkeyServer, authority: Authority, door: TlsDoor
) -> None:
    door.behind = valkey.socket
    assert await ping(settings_of(f"rediss://127.0.0.1:{door.port}/0", authority))
    with pytest.raises((RedisError, OSError), match=r"certificate is not valid for '127\.0\.0\.2'"):
        await ping(settings_of(f"rediss://127.0.0.2:{door.port}/0", authority))


async def test_a_cluster(authority: Authority, door: TlsDoor, tmp_path: Path) -> None:
    [port] = free_ports(1, bus=True)
    told = ("--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", str(door.port))
    server = Node(tmp_path, port, "--cluster-enabled", "yes", "--save", "", *told)
    door.behind = port
    try:
        wait_for(server.answers)
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        settings = settings_of(f"rediss+cluster://127.0.0.1:{door.port}", authority)
        assert await ping(settings)
        one = node(settings, "127.0.0.1", door.port)
        assert await one.ping()
        await close(one)
        assert door.secure >= 2
    finally:
        server.stop()


async def test_a_master_behind_a_sentinel(authority: Authority, door: TlsDoor, tmp_path: Path) -> None:
    ports = free_ports(2)
    master = Node(tmp_path / "master", ports[0], "--save", "")
    door.behind = ports[0]
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(f"sentinel monitor gateway 127.0.0.1 {door.port} 1\n")
    sentinel = Node(tmp_path / "sentinel", ports[1], str(configuration), "--sentinel")
    try:
        with TlsDoor(authority.server_context(mutual=True), ports[1]) as of_sentinel:
            wait_for(master.answers)
            wait_for(sentinel.answers)
            assert await ping(settings_of(f"rediss+sentinel://127.0.0.1:{of_sentinel.port}/gateway", authority))
            assert of_sentinel.secure == 1
            assert door.secure == 1
    finally:
        sentinel.stop()
        master.stop()
