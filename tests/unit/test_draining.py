"""The order of the end, on the clock of a virtual loop; the signals themselves are in tests/e2e/test_drain.py."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import pytest

from gateway.draining import Draining
from gateway.errors import ShuttingDown
from tests.support.virtual_time import run_virtually


class Server:
    """Notes when it is told to stop."""

    def __init__(self, draining: Draining) -> None:
        self.told: list[float] = []
        draining._before = {signal.SIGTERM: self.handle}

    def handle(self, number: int, frame: object) -> None:
        assert (number, frame) == (signal.SIGTERM, None)
        self.told.append(asyncio.get_running_loop().time())


async def request(draining: Draining, seconds: float) -> float:
    """How long it ran, or was let run."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(100) as timeout:
            with draining.bounds(timeout):
                await asyncio.sleep(seconds)
    return loop.time() - began


def test_the_server_is_told_after_the_pause_and_requests_have_their_time_after_that():
    async def scenario() -> None:
        draining = Draining(pause=5, seconds=10)
        server = Server(draining)
        running = [asyncio.create_task(request(draining, seconds)) for seconds in (1, 12, 40)]
        await asyncio.sleep(0)
        draining.begin(signal.SIGTERM)
        assert draining.on
        assert not draining.over
        assert [round(await task) for task in running] == [1, 12, 15]
        assert [round(at) for at in server.told] == [5]
        assert draining.over
        assert round(await request(draining, 3)) == 0

    run_virtually(scenario())


def test_a_second_signal_leaves_out_the_pause_and_a_third_is_the_servers():
    async def scenario() -> None:
        draining = Draining(pause=60, seconds=10)
        server = Server(draining)
        draining.begin(signal.SIGTERM)
        await asyncio.sleep(2)
        draining.begin(signal.SIGTERM)
        await asyncio.sleep(1)
        draining.begin(signal.SIGTERM)
        await asyncio.sleep(100)
        assert [round(at) for at in server.told] == [2, 3]

    run_virtually(scenario())


def test_before_the_end_a_time_out_is_a_time_out():
    draining = Draining(0, 0)
    assert not draining.cuts(TimeoutError())
    draining.over = True
    assert draining.cuts(TimeoutError())
    assert not draining.cuts(ValueError())
    with pytest.raises(ShuttingDown) as told:
        raise draining.error()
    assert told.value.retry_after == 1.0
