"""A real Triton that takes calls by mutual TLS alone, and several servers behind one name."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.embedded.triton import Triton
from gateway.embedded.triton_environment import TritonEnvironment
from inference_client.channel import Tls
from inference_client.errors import ServerUnreachable
from inference_client.resilience import ResilientClient
from inference_client.triton import TritonClient
from tests.support.certificates import Authority
from tests.support.kserve import KServeServer
from tests.support.stack import TRITON_ENVIRONMENT, require_triton
from tests.support.versions import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = np.zeros((1, 8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def triton(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    require_triton()
    folder = tmp_path_factory.mktemp("triton")
    certificate, key = authority.server
    server = Triton(
        TritonEnvironment.find(TRITON_ENVIRONMENT),
        REPOSITORY,
        folder=folder / "triton",
        cache=folder / "cache",
        log=folder / "triton.log",
        flags={
            "grpc-use-ssl": "true",
            "grpc-use-ssl-mutual": "true",
            "grpc-server-cert": certificate,
            "grpc-server-key": key,
            "grpc-root-cert": authority.ca,
        },
    )
    try:
        server.wait_ready(60)
        yield server
    finally:
        server.kill()
        server.stop()


@pytest.mark.stack
async def test_a_gateway_with_its_certificate_is_answered(triton: Triton, authority: Authority) -> None:
    certificate, key = map(str, authority.client)
    client = TritonClient(triton.url, tls=Tls(str(authority.ca), certificate, key))
    try:
        assert await client.ready("tiny", "1")
        image = np.zeros((1, 16, 16, 3), np.uint8)
        answer = await client.infer("tiny", image, shape=(2,), timeout=5.0, request_id="r", version="1")
        assert answer.output.shape == (1, 2)
    finally:
        await client.close()


@pytest.mark.stack
@pytest.mark.parametrize("who", ["shows nothing", "shows another authority's", "trusts another authority", "plain"])
async def test_nobody_else_is(triton: Triton, authority: Authority, who: str, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    certificate, key = map(str, authority.client)
    tls = {
        "shows nothing": Tls(str(authority.ca)),
        "shows another authority's": Tls(str(authority.ca), *map(str, other.client)),
        "trusts another authority": Tls(str(other.ca), certificate, key),
        "plain": None,
    }[who]
    client = TritonClient(triton.url, tls=tls)
    try:
        assert not await client.ready("tiny", "1")
        with pytest.raises(ServerUnreachable):
            await client.infer("tiny", IMAGE, shape=(3,), timeout=5.0, request_id="r", version="1")
    finally:
        await client.close()


async def test_calls_go_to_several_servers_in_turn_and_to_the_other_when_one_dies() -> None:
    servers = [KServeServer(), KServeServer()]
    async with AsyncExitStack() as stack, AsyncExitStack() as first:
        urls = [
            await first.enter_async_context(servers[0].serve()),
            await stack.enter_async_context(servers[1].serve()),
        ]
        inner = TritonClient("ipv4:" + ",".join(urls))
        client = ResilientClient(inner, failures=3, seconds=2.0, images=4)

        async def ask() -> None:
            answer = await client.infer("m", IMAGE, shape=(3,), timeout=5.0, request_id="r", version="1")
            assert answer.output.shape == (1, 3)

        while not all(server.calls for server in servers):  # until both are connected to
            await ask()
        for server in servers:
            server.calls.clear()
        for _ in range(20):
            await ask()
        assert [len(server.calls) for server in servers] == [10, 10]
        await first.aclose()  # the one dies
        for _ in range(20):
            await ask()
        assert len(servers[1].calls) == 30
        await client.close()
