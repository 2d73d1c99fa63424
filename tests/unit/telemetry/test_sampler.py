"""Gauges are read again and again, and one that cannot be read stops none of the others."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from prometheus_client import generate_latest

from gateway.telemetry.meter import Meter
from gateway.telemetry.sampler import Probe, Sampler
from tests.support.metrics import numbers

if TYPE_CHECKING:
    from collections.abc import Callable


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


async def test_a_probe_that_fails_is_counted_and_tried_again() -> None:
    meter, read = Meter(), {"good": 0, "bad": 0}

    async def good() -> None:
        read["good"] += 1

    async def bad() -> None:
        read["bad"] += 1
        raise OSError("away")

    sampler = Sampler(meter, [Probe("good", 0.001, good), Probe("bad", 0.001, bad)])
    sampler.start()
    await until(lambda: min(read.values()) >= 3)
    await sampler.close()

    told = numbers(generate_latest(meter.registry).decode())
    assert told['cordon_sampling_failed_total{group="bad"}'] == read["bad"]
    assert told['cordon_sampling_failed_total{group="good"}'] == 0


async def test_a_loop_that_was_blocked_is_seen() -> None:
    meter = Meter()
    sampler = Sampler(meter, [])
    sampler.start()
    await asyncio.sleep(0.01)
    time.sleep(0.9)  # noqa: ASYNC251 - this is what must be seen
    await until(lambda: numbers(generate_latest(meter.registry).decode()).get("cordon_event_loop_lag_seconds", 0))
    await sampler.close()
    assert numbers(generate_latest(meter.registry).decode())["cordon_event_loop_lag_seconds"] > 0.3
