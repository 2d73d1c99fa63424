"""Connections that the limiter keeps: an answer is never another call's, and a server that closes one costs no call."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from gateway.admission.redis_connections import Connections
from gateway.admission.redis_url import connect
from gateway.settings import RedisSettings
from tests.support.valkey import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def connections_to(server: ValkeyServer) -> AsyncIterator[Connections]:
    connections = Connections(connect(RedisSettings(url=SecretStr(server.url), timeout_seconds=5)))
    yield connections
    await connections.close()


def connected(server: ValkeyServer) -> int:
    with server.client() as client:
        return int(client.info("clients")["connected_clients"])


async def test_one_connection_serves_calls_one_after_the_other(valkey: ValkeyServer) -> None:
    async with connections_to(valkey) as connections:
        before = connected(valkey)
        for number in range(20):
            assert await connections.call("ECHO", str(number)) == str(number).encode()
        assert connected(valkey) == before + 1


async def test_calls_at_once_have_a_connection_each_and_their_own_answers(valkey: ValkeyServer) -> None:
    async with connections_to(valkey) as connections:
        answers = await asyncio.gather(*(connections.call("ECHO", number) for number in range(20)))
    assert answers == [str(number).encode() for number in range(20)]


async def test_a_connection_that_the_server_closed_while_idle_costs_no_call(valkey: ValkeyServer) -> None:
    async with connections_to(valkey) as connections:
        await asyncio.gather(*(connections.call("ECHO", number) for number in range(4)))
        with valkey.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        await asyncio.sleep(0.05)
        assert await connections.call("ECHO", "again") == b"again"


async def test_the_answer_to_a_cancelled_call_is_nobody_elses(valkey: ValkeyServer) -> None:
    async with connections_to(valkey) as connections:
        await connections.call("ECHO", "first")
        for ticks in range(8):  # at whichever point the cancellation falls
            task = asyncio.create_task(connections.call("ECHO", "lost"))
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await connections.call("ECHO", str(ticks)) == str(ticks).encode()


async def test_an_error_that_redis_answers_keeps_the_connection(valkey: ValkeyServer) -> None:
    async with connections_to(valkey) as connections:
        await connections.call("PING")
        before = connected(valkey)
        for _ in range(5):
            with pytest.raises(NoScriptError):
                await connections.call("EVALSHA", "0" * 40, 0)
        assert connected(valkey) == before


async def test_a_server_that_is_gone_is_an_error_and_one_that_is_back_is_not() -> None:
    with tempfile.TemporaryDirectory(prefix="cordon-", dir="/tmp") as folder:
        server = ValkeyServer(Path(folder)).start()
        try:
            async with connections_to(server) as connections:
                await asyncio.gather(*(connections.call("ECHO", number) for number in range(4)))
                server.kill()
                with pytest.raises(RedisConnectionError):
                    await connections.call("PING")
                server.start()
                assert await connections.call("ECHO", "back") == b"back"
        finally:
            server.stop()
