"""Beside all steps: reads gauges from time to time. What cannot be read is counted, and stays as it was."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from gateway.telemetry import catalogue as of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.telemetry.meter import Meter

log = structlog.get_logger(__name__)

_PATIENCE_SECONDS = 10.0
_LAG_EVERY_SECONDS = 0.5
_LAG_KEPT = 30
"""Wakings of which the worst is shown: as many as fit between two scrapes."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Some gauges that are read together.

    Attributes:
        group: Their name, for the count of failures.
        seconds: How often.
        read: Reads and sets them.
        first: Seconds before the first time.
    """

    group: str
    seconds: float
    read: Callable[[], Awaitable[None]]
    first: float = 0.0


class Sampler:
    """One task a probe.

    Args:
        meter: Where what is said about reading itself goes.
        probes: What is read.
    """

    def __init__(self, meter: Meter, probes: Sequence[Probe]) -> None:
        self._probes = probes
        self._failed = meter.counter(of.SAMPLING_FAILED)
        self._lag = meter.gauge(of.LOOP_LAG)
        self._tasks: list[asyncio.Task[None]] = []
        for probe in probes:
            self._failed.inc(probe.group, by=0)

    def start(self) -> None:
        """Begin to read."""
        self._tasks = [asyncio.create_task(self._run(probe), name=f"metrics-{probe.group}") for probe in self._probes]
        self._tasks.append(asyncio.create_task(self._watch_loop(), name="metrics-loop"))

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = []

    async def _run(self, probe: Probe) -> None:
        failing = False
        await asyncio.sleep(probe.first)
        while True:
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await probe.read()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next time may be better
                self._failed.inc(probe.group)
                if not failing:
                    log.warning("metrics.not-read", group=probe.group, cause=type(error).__name__)
                failing = True
            else:
                failing = False
            await asyncio.sleep(probe.seconds)

    async def _watch_loop(self) -> None:
        loop = asyncio.get_running_loop()
        late: deque[float] = deque(maxlen=_LAG_KEPT)
        while True:
            due = loop.time() + _LAG_EVERY_SECONDS
            await asyncio.sleep(_LAG_EVERY_SECONDS)
            late.append(max(0.0, loop.time() - due))
            self._lag.set(max(late))
