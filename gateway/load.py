"""Before step 2: how long a request that came now would wait, and whether it is let in or told to come later.

    worker processes    calls before it, times the mean seconds of one, by the number of processes
    the model           images before it, times the seconds in which it answers one more

The longer of the two is the wait. A wait of up to some multiples of what a request takes by itself is let in: a burst
waits, a standing queue does not grow. The multiple falls with the root of the number of places, as do the queues of a
system at the same load (Halfin and Whitt 1981). Nothing is set by hand but the multiple: all else is measured, in this
process. Each model has its own queue: one that hangs turns away its own callers alone.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Literal

from gateway.deadline import Deadline, passed
from gateway.errors import Overloaded
from gateway.turns import Mean, Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Kind = Literal["prediction", "object"]

GRACE = 1.5
"""By so much a tenant with less than its share may exceed the limit, and a body that was let in and took its time."""
FEW = 8
"""So many requests in one process are a burst and no overload, however large the images of those before are."""
_FASTEST_SECONDS = 30.0


class Fastest:
    """The smallest value of the last half minute, or somewhat more; None if there was none.

    Args:
        now: A monotonic clock, seconds.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._since = now()
        self._older, self._newer = math.inf, math.inf

    def add(self, value: float) -> None:
        """One more."""
        self._turn()
        self._newer = min(self._newer, value)

    @property
    def value(self) -> float:
        """The smallest; 0 if none is known."""
        self._turn()
        smallest = min(self._older, self._newer)
        return smallest if math.isfinite(smallest) else 0.0

    def _turn(self) -> None:
        age = self._now() - self._since
        if age >= _FASTEST_SECONDS:
            self._older = self._newer if age < 2 * _FASTEST_SECONDS else math.inf
            self._newer, self._since = math.inf, self._now()


@dataclass(slots=True)
class ModelLoad:
    """One model.

    Attributes:
        coming: Requests for it that have not reached it.
        images: Images at it.
        alone: Mean seconds of one image that found none before it; None before the first.
        each: Mean seconds from one image's answer to the next while there are any; None before the first.
        since: When it last answered, or when the first image came after a time without.
    """

    coming: int = 0
    images: int = 0
    alone: Mean = field(default_factory=lambda: Mean(weight=1 / 8))
    each: Mean = field(default_factory=lambda: Mean(weight=1 / 32))
    since: float = 0.0

    @property
    def servers(self) -> float:
        """How many images it works on at once, by what it showed: 1 or more."""
        alone, each = self.alone.value, self.each.value
        return max(1.0, alone / each) if alone and each else 1.0

    @property
    def wait(self) -> float:
        """How long an image that came now would wait, in seconds."""
        return max(0.0, self.coming + self.images - self.servers + 1) * (self.each.value or 0.0)

    @property
    def seconds(self) -> float:
        """What one image takes by itself, in seconds."""
        return self.alone.value or self.each.value or 0.0


class Load:
    """How busy this process and what is behind it are. One a process.

    Args:
        turns: The places in the worker processes.
        multiple: Longest wait let in, in multiples of what a request takes, over the root of the places; 0 lets in all.
        longest: Longest wait let in for a prediction and for an object, in seconds.
        few: With fewer requests than that in this process, all come in whose deadline allows it.
        now: A monotonic clock, seconds.

    Attributes:
        turned_away: Requests that were told to come later.
    """

    def __init__(
        self,
        turns: Turns,
        *,
        multiple: float,
        longest: dict[Kind, float],
        few: int = FEW,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._few = few
        self.turned_away = 0
        self._now = now
        self._turns = turns
        self._multiple = multiple
        self._longest = longest
        self._models: dict[str, ModelLoad] = {}
        self._tenants: dict[str, int] = {}
        self._fastest: dict[Kind, Fastest] = {"prediction": Fastest(now), "object": Fastest(now)}

    def expect(
        self, kind: Kind, tenant: str, deadline: Deadline, *, model: str | None = None, grace: float = 1.0
    ) -> None:
        """Let a request in, or not. Costs some microseconds.

        Args:
            kind: What is asked for.
            tenant: By whom.
            deadline: Until when.
            model: Of what model, once that is known; before, the one with the shortest queue is assumed.
            grace: By how much the limit may be exceeded.

        Raises:
            Overloaded: The wait would be too long; its ``retry_after`` is when it will not be, as far as is known.
            DeadlineExceeded: Nothing was as fast lately as this one would have to be.
        """
        long = kind == "object"
        queue = self._queue(model)
        own = self._turns.long.mean if long else self._turns.short.mean + queue.seconds
        stages = [(self._turns.wait(long=long), float(self._turns.servers(long=long)))]
        if not long:
            stages.append((queue.wait, queue.servers))
        if self._multiple and sum(self._tenants.values()) >= self._few:
            grace *= GRACE if self._has_less_than_its_share(tenant) else 1.0
            over = max(wait - self._limit(kind, own, servers) * grace for wait, servers in stages)
            if over > 0:
                raise self._turn_away(over)
        wait = max(wait for wait, _ in stages)
        if wait + self._fastest[kind].value > deadline.left:
            if wait:
                raise self._turn_away(wait)
            raise passed()

    @contextmanager
    def inside(self, kind: Kind, tenant: str) -> Iterator[Callable[[float], None]]:
        """A request whose body is in. What is yielded is told how long it worked, waits left out, when it succeeded."""
        self._tenants[tenant] = self._tenants.get(tenant, 0) + 1
        try:
            yield self._fastest[kind].add
        finally:
            self._tenants[tenant] -= 1
            if not self._tenants[tenant]:
                del self._tenants[tenant]

    @contextmanager
    def coming(self, model: str) -> Iterator[None]:
        """A request on its way to a model."""
        queue = self._models.setdefault(model, ModelLoad())
        queue.coming += 1
        try:
            yield
        finally:
            queue.coming -= 1

    @contextmanager
    def asking(self, model: str, images: int) -> Iterator[None]:
        """A request at a model. A success tells how fast it is; a failure is the circuit breaker's matter."""
        queue = self._models.setdefault(model, ModelLoad())
        found, began = queue.images, self._now()
        if not found:
            queue.since = began
        queue.images += images
        try:
            yield
            ended = self._now()
            queue.each.add((ended - queue.since) / images, images)
            queue.since = ended
            if not found and images == 1:
                queue.alone.add(ended - began)
        finally:
            queue.images -= images

    def snapshot(self) -> dict[str, float]:
        """As of now, by name: for metrics."""
        state: dict[str, float] = {
            "turned_away": self.turned_away,
            "places": self._turns.size,
            "waiting": self._turns.waiting,
            "running": self._turns.running,
            "wait_seconds": self._turns.wait(long=False),
            "place_seconds": self._turns.short.mean,
        }
        for name, queue in self._models.items():
            state |= {f"model.{name}.images": queue.images, f"model.{name}.wait_seconds": queue.wait}
        return state

    def _queue(self, model: str | None) -> ModelLoad:
        if model is not None:
            return self._models.get(model) or ModelLoad()
        return min(self._models.values(), key=lambda queue: queue.wait, default=ModelLoad())

    def _limit(self, kind: Kind, own: float, servers: float) -> float:
        return min(self._multiple * own / math.sqrt(servers), self._longest[kind])

    def _has_less_than_its_share(self, tenant: str) -> bool:
        there, mine = self._tenants, self._tenants.get(tenant, 0)
        if not there or (mine and len(there) == 1):
            return False
        return mine * (len(there) + (not mine)) < sum(there.values())

    def _turn_away(self, seconds: float) -> Overloaded:
        self.turned_away += 1
        return Overloaded("More requests are waiting than can be answered soon", retry_after=seconds)
