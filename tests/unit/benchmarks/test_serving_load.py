"""The generator says what happened: on a server whose delays and refusals are known."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self

import pytest

from benchmarks.serving.load import UNANSWERED, Generator, Phase, Target
from benchmarks.serving.report import placed
from benchmarks.serving.stats import slope, summarize

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
DELAY = 0.02


class Server(threading.Thread):
    """Answers one request at a time, after DELAY; every fourth is refused. Stands still when told to."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.asked = 0
        self.still = 0.0
        self.drops = False
        self.wait = 0
        self._ready = threading.Event()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._over, self._turn = asyncio.get_running_loop(), asyncio.Event(), asyncio.Lock()
        server = await asyncio.start_server(self._caller, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()

    async def _caller(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"abc"):
                if self.drops:
                    writer.close()
                    return
                async with self._turn:
                    pause, self.still = self.still, 0.0
                    await asyncio.sleep(DELAY + pause)
                    self.asked += 1
                    refused = self.asked % 4 == 0
                head = b"503 Busy\r\nRetry-After: %d" % self.wait if refused else b"200 OK"
                writer.write(b"HTTP/1.1 " + head + b"\r\nContent-Length: 2\r\n\r\nok")
        except asyncio.IncompleteReadError:
            writer.close()
        except ConnectionError:
            pass

    def __enter__(self) -> Self:
        self.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self.join(10)


@pytest.fixture(scope="module")
def generator() -> Iterator[Generator]:
    with Generator(niceness=0) as generator:
        yield generator


def test_a_closed_loop_sends_no_more_than_its_callers_can_and_counts_what_it_was_told(generator):
    with Server() as server:
        run = generator.closed(Target("server", server.port, REQUEST), 3, 0.5, warm=0.1)
        assert len(run.status) == server.asked
    summary = summarize(run)
    assert 0 < summary.goodput <= 1 / DELAY
    assert summary.p50 >= 2.5 * 1e3 * DELAY  # three callers take turns on a server that does one at a time
    assert set(summary.statuses) == {200, 503}
    assert summary.unnamed == 0


def test_a_caller_of_a_closed_loop_comes_again_when_it_was_told_to(generator):
    with Server() as server:
        server.wait = 1
        run = generator.closed(Target("server", server.port, REQUEST), 3, 0.9, warm=0.0)
    assert (run.status == 503).sum() <= 3  # each of the three is told once, and stays away until the end
    assert run.named_wait.sum() == (run.status == 503).sum()


def test_an_open_loop_counts_the_wait_of_requests_that_were_due_while_the_server_stood_still(generator):
    with Server() as server:
        server.still = 0.4
        run = generator.open(Target("server", server.port, REQUEST), (Phase(20, 1.0),), warm=0.0, seed=3)
        assert len(run.status) == server.asked
    early = run.took[run.due < 0.2]
    assert len(early) > 1  # by its seed
    assert (early >= 0.2).all()  # not only the one that was being answered


def test_where_nobody_listens_it_says_so_and_goes_on_with_the_next(generator):
    with Server() as server:
        port = server.port
    with pytest.raises(OSError, match="refused"):
        generator.open(Target("server", port, REQUEST), (Phase(50, 0.2),), warm=0.0)
    with Server() as server:
        assert len(generator.closed(Target("server", server.port, REQUEST), 1, 0.1, warm=0.0).status) == server.asked


def test_a_server_that_drops_connections_leaves_requests_unanswered(generator):
    with Server() as server:
        server.drops = True
        run = generator.open(Target("server", server.port, REQUEST), (Phase(50, 0.2),), warm=0.0)
    assert len(run.status)
    assert set(run.status.tolist()) == {UNANSWERED}


def test_rows_and_slopes():
    assert slope([0, 1, 2], [5, 7, 9]) == pytest.approx(2)
    text = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n"
    assert placed(text, "x", "new") == "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n"
    with pytest.raises(ValueError, match="no place for y"):
        placed(text, "y", "new")
