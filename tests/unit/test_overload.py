"""Overload, computed: the shedding as it is, in front of workers and a model that sleep, on a clock that jumps.

Requests come by a Poisson process. What a machine adds (a processor that all share) ``serving_overload`` measures.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import numpy as np
import pytest

from gateway.deadline import NEVER
from gateway.errors import Overloaded
from gateway.load import GRACE, Load
from gateway.settings import HttpSettings
from gateway.turns import Turns
from tests.support.virtual_time import run_virtually

REQUESTS = 1500
MULTIPLE = HttpSettings.model_fields["wait_multiple"].default


@dataclass
class Machine:
    """Worker processes, then a model that gathers up to ``batch`` images while it computes those before."""

    places: int
    worker: float
    base: float
    image: float
    batch: int = 16
    spread: float = 0.3
    random: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        now = asyncio.get_running_loop().time
        self.turns = Turns(self.places, now)
        self.load = Load(self.turns, multiple=MULTIPLE, longest={"prediction": 5.0, "object": 15.0}, now=now)
        self._queue: list[asyncio.Future[None]] = []
        self._came = asyncio.Event()
        self._model = asyncio.create_task(self._compute())

    async def _compute(self) -> None:
        while True:
            await self._came.wait()
            taken, self._queue = self._queue[: self.batch], self._queue[self.batch :]
            if not self._queue:
                self._came.clear()
            await asyncio.sleep(self.base + self.image * len(taken))
            for each in taken:
                each.set_result(None)

    def stop(self) -> None:
        self._model.cancel()

    async def serve(self) -> None:
        """One request, as the pipeline and the door treat it. Raises Overloaded."""
        self.load.expect("prediction", "a", NEVER)
        self.load.expect("prediction", "a", NEVER, model="m", grace=GRACE)
        with self.load.inside("prediction", "a"):
            with self.load.coming("m"):
                async with self.turns.turn(long=False):
                    await asyncio.sleep(self.worker * self.random.lognormvariate(0, self.spread))
            with self.load.asking("m", 1):
                done = asyncio.get_running_loop().create_future()
                self._queue.append(done)
                self._came.set()
                await done

    async def closed(self, callers: int) -> float:
        """Answers a second, of so many callers who come again at once."""
        loop, count = asyncio.get_running_loop(), 0

        async def caller() -> None:
            nonlocal count
            while count < REQUESTS:
                try:
                    await self.serve()
                    count += 1
                except Overloaded:
                    await asyncio.sleep(0.1)

        began = loop.time()
        await asyncio.gather(*(caller() for _ in range(callers)))
        return count / (loop.time() - began)

    async def open(self, rate: float) -> tuple[float, float, float]:
        """Answers a second, their p99 in seconds, and the share of the refused; the first fifth left out."""
        loop = asyncio.get_running_loop()
        took: list[float] = []
        tasks, refused = [], 0

        async def request(late: bool) -> None:
            nonlocal refused
            began = loop.time()
            try:
                await self.serve()
                if late:
                    took.append(loop.time() - began)
            except Overloaded:
                refused += late

        for number in range(REQUESTS):
            if number == REQUESTS // 5:
                began = loop.time()
            tasks.append(asyncio.create_task(request(number >= REQUESTS // 5)))
            await asyncio.sleep(self.random.expovariate(rate))
        seconds = loop.time() - began
        await asyncio.gather(*tasks)
        return len(took) / seconds, float(np.percentile(took, 99)), refused / (0.8 * REQUESTS)


async def measure(shape: dict) -> dict[str, float]:
    machines = [Machine(**shape) for _ in range(4)]
    peak = max([await machine.closed(callers) for machine, callers in zip(machines, (8, 32), strict=False)])
    _, calm_p99, calm_refused = await machines[2].open(0.7 * peak)
    goodput, p99, refused = await machines[3].open(1.5 * peak)
    for machine in machines:
        machine.stop()
    return {
        "peak": peak, "goodput": goodput / peak, "slower": p99 / calm_p99, "refused": refused,
        "refused at 70 %": calm_refused,
    }  # fmt: skip


SHAPES = {
    "two cores, a slow model": {"places": 2, "worker": 0.05, "base": 0.02, "image": 0.015},
    "the workers are slow": {"places": 2, "worker": 0.1, "base": 0.01, "image": 0.005},
    "the model is slow": {"places": 4, "worker": 0.005, "base": 0.01, "image": 0.03},
    "sixteen cores and a GPU": {"places": 16, "worker": 0.008, "base": 0.004, "image": 0.0002},
    "sizes of all kinds": {"places": 4, "worker": 0.03, "base": 0.01, "image": 0.005, "spread": 1.2},
}


@pytest.mark.parametrize("name", SHAPES)
def test_at_half_as_much_again_as_can_be_served(name):
    seen = run_virtually(measure(SHAPES[name]))
    assert seen["goodput"] >= 0.9, seen
    assert seen["slower"] <= 3.0, seen
    assert seen["refused at 70 %"] < 0.05, seen
