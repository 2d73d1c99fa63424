"""A real uvicorn on the loop that serves: how much of a body is held before anyone asks for it; none of it is lost."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import uvicorn
import uvloop

from gateway.api.small_reads import SmallReads
from gateway.cli.serve import listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BODY = bytes(range(256)) * 2**12


async def application(scope, receive, send) -> None:
    """``/late`` asks for its body after a while, ``/now`` at once; both answer its digest."""
    if scope["path"] == "/late":
        await asyncio.sleep(0.5)
    digest, more = hashlib.sha256(), True
    while more:
        message = await receive()
        digest.update(message.get("body", b""))
        more = message.get("more_body", False)
    body = digest.hexdigest().encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"64")]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served() -> AsyncIterator[tuple[uvicorn.Server, int]]:
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(application, http=SmallReads, lifespan="off", ws="none", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield server, listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


def request(path: str, *, chunked: bool) -> bytes:
    if not chunked:
        return f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n".encode() + BODY
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    pieces = (BODY[at : at + 10_007] for at in range(0, len(BODY), 10_007))
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


async def answer_to(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return await reader.readexactly(64)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/now", "/late"])
def test_a_body_comes_whole_and_the_connection_is_kept(path: str, chunked: bool) -> None:
    async def ask() -> None:
        async with served() as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(2):
                writer.write(request(path, chunked=chunked))
                assert await answer_to(reader) == hashlib.sha256(BODY).hexdigest().encode()
            writer.close()

    uvloop.run(ask())


def test_what_nobody_has_asked_for_is_not_held() -> None:
    async def offer() -> None:
        async with served() as (server, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request("/late", chunked=False))
            while not [each for each in server.server_state.connections if each.cycle]:  # noqa: ASYNC110 - nor for that
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.15)  # as much as it likes may come
            (connection,) = server.server_state.connections
            assert 0 <= len(connection.cycle.body) <= len(SmallReads.small)
            await answer_to(reader)
            writer.close()

    uvloop.run(offer())
