"""Before step 2: places in the worker processes, first come, first served; and how long each is held."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

WEIGHT = 1 / 16
"""Of a new value in a mean: what came sixteen requests ago counts a third."""
FIRST_GUESS_SECONDS = 0.05


class Mean:
    """A mean that forgets: each new value counts so much, all before it the rest.

    Args:
        value: Where it begins; without one, the first value is the mean.
        weight: Of a new value.
    """

    def __init__(self, value: float | None = None, weight: float = WEIGHT) -> None:
        self.value = value
        self._weight = weight

    def add(self, value: float, times: int = 1) -> None:
        """One more, or as many alike."""
        weight = 1 - (1 - self._weight) ** times
        self.value = value if self.value is None else self.value + weight * (value - self.value)


@dataclass(slots=True)
class Kind:
    """One kind of call.

    Attributes:
        seconds: Mean time that one holds a place.
        waiting: Calls that wait for a place.
        running: Calls that have one.
    """

    seconds: Mean = field(default_factory=lambda: Mean(FIRST_GUESS_SECONDS))
    waiting: int = 0
    running: int = 0

    @property
    def mean(self) -> float:
        """Seconds."""
        return self.seconds.value or 0.0


class Turns:
    """Places. One stays free of long calls, where there are two or more: short ones do not wait behind them.

    Args:
        size: How many; 1 or more.
        now: A monotonic clock, seconds.
    """

    def __init__(self, size: int, now: Callable[[], float] = monotonic) -> None:
        self.size = size
        self._now = now
        self.short, self.long = Kind(), Kind()
        self._places = asyncio.Semaphore(size)
        self._long_places = asyncio.Semaphore(max(1, size - 1))

    @asynccontextmanager
    async def turn(self, *, long: bool) -> AsyncIterator[None]:
        """Wait for a place, and hold it."""
        if not long:
            async with self._place(self.short):
                yield
            return
        self.long.waiting += 1
        try:
            await self._long_places.acquire()
        finally:
            self.long.waiting -= 1
        try:
            async with self._place(self.long):
                yield
        finally:
            self._long_places.release()

    @asynccontextmanager
    async def _place(self, kind: Kind) -> AsyncIterator[None]:
        kind.waiting += 1
        try:
            await self._places.acquire()
        finally:
            kind.waiting -= 1
        kind.running += 1
        began = self._now()
        try:
            yield
            kind.seconds.add(self._now() - began)
        finally:
            kind.running -= 1
            self._places.release()

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return self.short.waiting + self.long.waiting

    @property
    def running(self) -> int:
        """Calls that have one."""
        return self.short.running + self.long.running

    def forget(self) -> None:
        """Begin to measure anew."""
        for kind in (self.short, self.long):
            kind.seconds = Mean(FIRST_GUESS_SECONDS)

    def servers(self, *, long: bool) -> int:
        """Places that calls of this kind have."""
        return max(1, self.size - 1 if long else self.size - self.long.running)

    def wait(self, *, long: bool) -> float:
        """How long a call that came now would wait, by what those before it will probably take, in seconds."""
        kind, servers = (self.long, self.servers(long=True)) if long else (self.short, self.servers(long=False))
        before = kind.waiting + kind.running - servers + 1
        return max(0, before) * kind.mean / servers
