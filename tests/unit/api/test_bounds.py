"""How much of a body may come, how long it may take, and how much of all fits."""

from __future__ import annotations

import asyncio

import pytest

from gateway.api.bounds import BoundedReceive, InflightBytes, expected_bytes
from gateway.api.exchange import Exchange
from gateway.deadline import NEVER, Deadline
from gateway.draining import Draining
from gateway.errors import BodyTimeout, BodyTooLarge, DeadlineExceeded, MalformedBody, Overloaded, ShuttingDown


def scope(*headers: tuple[str, str]) -> dict[str, object]:
    return {"headers": [(name.encode(), value.encode()) for name, value in headers]}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], 0),
        ([("content-length", "0")], 0),
        ([("content-length", "42")], 42),
        ([("content-length", "42"), ("content-length", "42")], 42),
        ([("transfer-encoding", "chunked")], None),
    ],
)
def test_what_the_head_announces(headers, expected):
    assert expected_bytes(scope(*headers)) == expected


@pytest.mark.parametrize(
    "headers",
    [
        [("content-length", "x")],
        [("content-length", "")],
        [("content-length", "-1")],
        [("content-length", "+1")],
        [("content-length", "1 1")],
        [("content-length", "9" * 19)],
        [("content-length", "1"), ("content-length", "2")],
        [("content-length", "1"), ("transfer-encoding", "chunked")],
    ],
)
def test_heads_that_contradict_themselves(headers):
    with pytest.raises(MalformedBody):
        expected_bytes(scope(*headers))


def test_memory_is_taken_and_given_back():
    memory = InflightBytes(100, largest=10)
    memory.reserve("a", 50)
    memory.reserve("b", 50)
    with pytest.raises(Overloaded) as full:
        memory.reserve("c", 1)
    assert full.value.retry_after
    memory.release("a", 50)
    memory.reserve("c", 50)
    memory.release("b", 50)
    memory.release("c", 50)
    assert memory.held == 0


def test_one_caller_holds_half_at_most():
    memory = InflightBytes(100, largest=10)
    memory.reserve("a", 50)
    with pytest.raises(Overloaded):
        memory.reserve("a", 1)
    memory.reserve("b", 50)


def test_requests_without_a_body_end_in_any_order_beside_one_that_has_one():
    memory = InflightBytes(100, largest=10)
    for size in (0, 0, 50, 0):
        memory.reserve("a", size)
    for size in (0, 50, 0, 0):
        memory.release("a", size)
    assert memory.held == 0
    memory.reserve("a", 50)


def test_one_caller_may_always_send_the_largest_body():
    memory = InflightBytes(100, largest=80)
    memory.reserve("a", 80)
    with pytest.raises(Overloaded):
        memory.reserve("a", 1)


def bounded(
    *messages: dict[str, object],
    limit: int = 10,
    seconds: float = 0.05,
    deadline: Deadline = NEVER,
    draining: Draining | None = None,
) -> tuple[BoundedReceive, Exchange]:
    left = list(messages)

    async def receive() -> dict[str, object]:
        if not left:
            await asyncio.sleep(10)
        return left.pop(0)

    exchange = Exchange("r-1", body_pending=True)
    ends = draining or Draining(0, 0)
    return BoundedReceive(receive, exchange, limit=limit, seconds=seconds, deadline=deadline, draining=ends), exchange


async def test_a_body_within_its_bounds():
    receive, exchange = bounded(
        {"type": "http.request", "body": b"12345", "more_body": True}, {"type": "http.request", "body": b"67890"}
    )
    await receive()
    assert exchange.body_pending
    await receive()
    assert (exchange.body_pending, exchange.bytes_in) == (False, 10)


async def test_one_byte_too_many():
    receive, exchange = bounded({"type": "http.request", "body": b"12345678901", "more_body": False})
    with pytest.raises(BodyTooLarge):
        await receive()
    assert exchange.body_pending


async def test_a_body_that_drips():
    receive, _ = bounded(*[{"type": "http.request", "body": b"1", "more_body": True}] * 3)
    for _ in range(3):
        await receive()
    with pytest.raises(BodyTimeout):
        await receive()


async def test_a_body_that_outlasts_its_callers_patience():
    receive, _ = bounded({"type": "http.request", "body": b"1", "more_body": True}, deadline=Deadline.after(0.02))
    await receive()
    with pytest.raises(DeadlineExceeded):
        await receive()


async def test_a_body_that_is_on_its_way_when_the_process_ends():
    draining = Draining(0, 0)
    receive, _ = bounded({"type": "http.request", "body": b"1", "more_body": True}, seconds=20, draining=draining)
    await receive()
    asyncio.get_running_loop().call_later(0.02, draining.cut)
    with pytest.raises(ShuttingDown):
        await receive()
    receive, _ = bounded(seconds=20, draining=draining)
    with pytest.raises(ShuttingDown):
        await receive()


async def test_after_the_body_the_wait_is_not_bounded():
    receive, _ = bounded({"type": "http.request", "body": b"1", "more_body": False})
    await receive()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15):
            await receive()
