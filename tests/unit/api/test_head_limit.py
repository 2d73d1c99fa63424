"""A real uvicorn on a loopback socket, and callers who misbehave before any application code runs."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import uvicorn

from gateway.api.head_limit import BoundedHeadProtocol
from gateway.api.small_reads import SmallReads
from gateway.cli.serve import listen

LIMIT = BoundedHeadProtocol.max_head_bytes


class Impatient(BoundedHeadProtocol):
    head_seconds = 0.3


class Connection(SmallReads):
    http = Impatient


@dataclass
class Server:
    port: int
    seen: list[str] = field(default_factory=list)

    async def say(self, *pieces: bytes, pause: float = 0.0) -> bytes:
        """Send the pieces; return all that comes back until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        # Read while sending: an answer that nobody took is lost when the server closes on what is still being sent.
        answer = asyncio.create_task(_read_all(reader))
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
        try:
            return await asyncio.wait_for(answer, 10)
        finally:
            writer.close()


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    answer = bytearray()
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(2**16):
            answer += piece
    return bytes(answer)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    listener = listen("127.0.0.1", 0)
    server = Server(listener.getsockname()[1])

    async def application(scope, receive, send) -> None:
        server.seen.append(scope["path"])
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                server.seen.append("gone")
                return
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        body = str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(
        application, http=Connection, lifespan="off", ws="none", log_config=None, access_log=False, timeout_keep_alive=1
    )
    running = uvicorn.Server(config)
    task = asyncio.create_task(running._serve([listener]))
    while not running.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield server
    running.should_exit = True
    await task


def problem(answer: bytes) -> tuple[bytes, dict]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"connection: close" in head
    return head.split(b"\r\n")[0], json.loads(body)


async def test_an_ordinary_request_passes(server: Server) -> None:
    answer = await server.say(b"GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert server.seen == ["/a"]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 3 * LIMIT,
        b"GET / HTTP/1.1\r\nx: " + b"a" * 3 * LIMIT,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * LIMIT,
        b"GET / HTTP/1.1\r\n" + b"a" * 3 * LIMIT,
    ],
    ids=["target", "one header's value", "many headers", "one header's name"],
)
async def test_a_head_without_end_is_cut(server: Server, head: bytes) -> None:
    pieces = [head[at : at + 8192] for at in range(0, len(head), 8192)]
    status, body = problem(await server.say(*pieces))
    assert status == b"HTTP/1.1 431 Request Header Fields Too Large"
    assert body["status"] == 431
    assert "aaaa" not in body["detail"]
    assert server.seen == []


async def test_a_head_that_takes_too_long_is_cut(server: Server) -> None:
    status, body = problem(await server.say(b"GET / HTTP/1.1\r\n", b"x: y\r\n", b"x: y\r\n", b"x: y\r\n", pause=0.15))
    assert status == b"HTTP/1.1 408 Request Timeout"
    assert body["status"] == 408
    assert server.seen == []


async def test_a_connection_that_says_nothing_is_cut(server: Server) -> None:
    status, _ = problem(await server.say())
    assert status == b"HTTP/1.1 408 Request Timeout"


async def test_the_second_head_of_a_connection_is_bounded_too(server: Server) -> None:
    first = b"GET /first HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = await server.say(first, b"\r\n", b"GET /second HTTP/1.1\r\n", pause=0.05)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in answer
    assert server.seen == ["/first"]


async def test_a_slow_and_large_body_is_not_a_head(server: Server) -> None:
    head = b"POST /body HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (4 * LIMIT)
    answer = await server.say(head, *[b"b" * LIMIT] * 4, pause=0.12)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(str(4 * LIMIT).encode())


async def test_trailers_without_end_are_cut(server: Server) -> None:
    head = b"POST /chunked HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n"
    await server.say(head, *[b"x: " + b"t" * 8192 + b"\r\n"] * 8, pause=0.01)
    assert server.seen == ["/chunked", "gone"]
