"""What is let in and what is told to come later, with numbers in the test's hand."""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack, ExitStack

import pytest

from gateway.deadline import NEVER, Deadline
from gateway.errors import DeadlineExceeded, Overloaded
from gateway.load import GRACE, Load
from gateway.turns import Turns


def load_of(places: int = 2, *, multiple: float = 6.0, seconds: float = 0.1, few: int = 0) -> tuple[Load, Turns]:
    turns = Turns(places)
    turns.short.seconds.value = seconds
    turns.long.seconds.value = 10 * seconds
    return Load(turns, multiple=multiple, longest={"prediction": 5.0, "object": 15.0}, few=few), turns


async def let_in(load: Load, turns: Turns, tenant: str = "a", *, most: int = 200) -> int:
    """How many of a burst are let in before the first is turned away."""
    async with AsyncExitStack() as stack:
        tasks = []
        stack.callback(lambda: [task.cancel() for task in tasks])
        for number in range(most):
            try:
                load.expect("prediction", tenant, NEVER)
            except Overloaded:
                return number
            stack.enter_context(load.inside("prediction", tenant))
            tasks.append(asyncio.create_task(hold(turns)))
            await asyncio.sleep(0)
    return most


async def hold(turns: Turns) -> None:
    async with turns.turn(long=False):
        await asyncio.sleep(60)


@pytest.mark.parametrize(("places", "seconds"), [(1, 0.1), (2, 0.1), (16, 0.1), (2, 0.01), (2, 0.8)])
async def test_a_burst_waits_up_to_the_limit_and_no_longer(places, seconds):
    load, turns = load_of(places, seconds=seconds)
    entered = await let_in(load, turns)
    wait = (entered - places) * seconds / places
    limit = min(6.0 * seconds / math.sqrt(places), 5.0)
    assert entered > places
    assert wait <= limit <= wait + 2 * seconds / places


async def test_with_a_multiple_of_zero_everyone_is_let_in():
    load, turns = load_of(multiple=0)
    assert await let_in(load, turns) == 200


async def test_what_is_told_is_when_there_will_be_room():
    load, turns = load_of(1, multiple=2.0)
    tasks = [asyncio.create_task(hold(turns)) for _ in range(12)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        load.expect("prediction", "a", NEVER)
    assert refused.value.retry_after == pytest.approx(12 * 0.1 - 0.2)
    assert load.snapshot()["turned_away"] == 1
    for task in tasks:
        task.cancel()


async def test_a_flood_of_one_tenant_leaves_room_for_another():
    load, turns = load_of()
    async with AsyncExitStack() as stack:
        tasks = [asyncio.create_task(hold(turns)) for _ in range(11)]
        stack.callback(lambda: [task.cancel() for task in tasks])
        for _ in tasks:
            stack.enter_context(load.inside("prediction", "flood"))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            load.expect("prediction", "flood", NEVER)
        load.expect("prediction", "other", NEVER)
        stack.enter_context(load.inside("prediction", "other"))
        load.expect("prediction", "other", NEVER)
        with pytest.raises(Overloaded):
            load.expect("prediction", "flood", NEVER)


async def test_a_tenant_alone_is_held_to_the_limit_itself():
    load, turns = load_of(1)
    alone = await let_in(load, turns, "a")
    load, turns = load_of(1)
    with load.inside("prediction", "b"):
        shared = await let_in(load, turns, "a")
    assert shared in {alone, alone + 1}
    assert GRACE > 1


async def test_long_calls_take_places_from_short_ones():
    load, turns = load_of(2)
    entered = await let_in(load, turns)
    load, turns = load_of(2)
    async with turns.turn(long=True):
        assert turns.servers(long=False) == 1
        assert await let_in(load, turns) < entered


async def test_each_model_has_a_queue_of_its_own():
    load, _ = load_of()
    with load.asking("slow", 1):
        await asyncio.sleep(0.02)
    for _ in range(20):
        with load.asking("quick", 1):
            pass
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(load.asking("slow", 1))
            stack.enter_context(load.coming("quick"))
        with pytest.raises(Overloaded):
            load.expect("prediction", "a", NEVER, model="slow")
        load.expect("prediction", "a", NEVER, model="quick")
        load.expect("prediction", "a", NEVER)  # before the model is known


async def test_a_model_that_answers_many_at_once_may_have_more_of_them():
    load, _ = load_of(16, seconds=0.005)

    async def ask(size: int) -> None:
        with ExitStack() as stack:
            for _ in range(size):
                stack.enter_context(load.asking("batched", 1))
            await asyncio.sleep(0.01)

    await ask(1)
    for _ in range(4):
        await ask(32)
    with ExitStack() as stack:
        for _ in range(32):
            stack.enter_context(load.asking("batched", 1))
        load.expect("prediction", "a", NEVER, model="batched")


async def test_a_failure_says_nothing_of_a_models_speed():
    load, _ = load_of()
    with pytest.raises(ZeroDivisionError), load.asking("m", 1):
        _ = 1 / (load.snapshot()["model.m.images"] - 1)
    assert load.snapshot()["model.m.wait_seconds"] == 0
    assert load.snapshot()["model.m.images"] == 0


async def test_what_cannot_end_in_time_is_not_begun_and_is_tried_again_later():
    clock = [100.0]
    turns = Turns(2)
    load = Load(turns, multiple=6, longest={"prediction": 5.0, "object": 15.0}, few=0, now=lambda: clock[0])
    load.expect("prediction", "a", Deadline.after(0.001))  # nothing is known yet
    with load.inside("prediction", "a") as worked:
        worked(0.2)
    with pytest.raises(DeadlineExceeded):
        load.expect("prediction", "a", Deadline.after(0.1))
    load.expect("prediction", "a", Deadline.after(0.5))
    load.expect("object", "a", Deadline.after(0.1))
    clock[0] += 61
    load.expect("prediction", "a", Deadline.after(0.1))


async def test_a_queue_longer_than_the_caller_waits_is_an_overload():
    load, turns = load_of(1)
    tasks = [asyncio.create_task(hold(turns)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        load.expect("prediction", "a", Deadline.after(0.2))
    for task in tasks:
        task.cancel()


async def test_places_are_counted_however_a_call_ends():
    turns = Turns(1)
    held = asyncio.create_task(hold(turns))
    waiting = [asyncio.create_task(hold(turns)) for _ in range(3)]
    await asyncio.sleep(0)
    assert (turns.running, turns.waiting) == (1, 3)
    for task in (*waiting[:2], held):
        task.cancel()
    await asyncio.gather(held, *waiting[:2], return_exceptions=True)
    await asyncio.sleep(0)
    assert (turns.running, turns.waiting) == (1, 0)
    waiting[2].cancel()
    await asyncio.gather(waiting[2], return_exceptions=True)
    assert (turns.running, turns.waiting) == (0, 0)


async def test_a_few_come_in_however_large_the_images_before_them_are() -> None:
    load, _ = load_of(few=8)
    with load.asking("model", 1):
        await asyncio.sleep(0.02)
    with ExitStack() as stack:
        stack.enter_context(load.asking("model", 1000))  # some files of many frames
        for _ in range(7):
            load.expect("prediction", "a", NEVER, model="model")
            stack.enter_context(load.inside("prediction", "a"))
        load.expect("prediction", "a", NEVER, model="model")
        stack.enter_context(load.inside("prediction", "a"))
        with pytest.raises(Overloaded):
            load.expect("prediction", "a", NEVER, model="model")
        with pytest.raises(Overloaded):
            load.expect("prediction", "b", Deadline.after(0.5), model="model")
