from __future__ import annotations

import asyncio
import time

import pytest

from gateway.admission.recent import Recent
from gateway.errors import StoreUnavailable


class Store:
    def __init__(self) -> None:
        self.reads = 0
        self.away = False

    async def read(self) -> int:
        self.reads += 1
        await asyncio.sleep(0.2)
        if self.away:
            raise StoreUnavailable
        return self.reads


async def test_many_who_ask_share_one_look() -> None:
    store = Store()
    recent = Recent(store.read, 10)
    assert set(await asyncio.gather(*(recent.get() for _ in range(50)))) == {1}
    assert await recent.get() == 1
    recent.forget()
    assert await recent.get() == 2


async def test_many_who_ask_while_the_store_hangs_wait_for_one_time_out() -> None:
    store = Store()
    store.away = True
    recent = Recent(store.read, 10)
    began = time.monotonic()
    answers = await asyncio.gather(*(recent.get() for _ in range(50)), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    assert store.reads == 1
    assert time.monotonic() - began < 5  # fifty after each other would take ten
    store.away = False
    assert await recent.get() == 2


async def test_what_is_old_is_read_again() -> None:
    store = Store()
    seconds = [0.0]
    recent = Recent(store.read, 0.5, lambda: seconds[0])
    assert await recent.get() == 1
    seconds[0] = 0.4
    assert await recent.get() == 1
    seconds[0] = 0.5
    assert await recent.get() == 2


async def test_a_caller_who_goes_away_does_not_take_the_look_along() -> None:
    store = Store()
    recent = Recent(store.read, 10)
    first = asyncio.create_task(recent.get())
    second = asyncio.create_task(recent.get())
    await asyncio.sleep(0.05)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == 1
    assert store.reads == 1
