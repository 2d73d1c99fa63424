"""Step 1 of 7: the same windows, counted by one process for itself.

Four uses. Before Redis is asked, the process's own requests are held against the whole limit: a Redis that comes back
empty cannot re-open a window for a process that filled it. While Redis is away, they are held against this process's
share of the limit. When it is back, what was let in meanwhile is reported to it. And what
Redis may have lost, it is told again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from gateway.admission.decision import Decision, WindowState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.admission.decision import Claim
    from gateway.admission.plans import Window

MAX_CALLERS = 10_000


class Remembered(NamedTuple):
    """What one process let in of one caller, as far as it still counts.

    Attributes:
        key_id: The caller.
        windows: Seconds, length of a sub-bucket in us, how many of them, and the charges: age in us at the least, cost.
        leases: Name and deadline, in us of the process's monotonic clock.
    """

    key_id: str
    windows: list[tuple[float, int, int, list[tuple[int, int]]]]
    leases: list[tuple[str, int]]


class _Count:
    """One window of one caller: the charges by sub-bucket, the oldest first, and those that Redis has not heard of."""

    __slots__ = ("_last", "charges", "size", "span", "total", "unreported")

    def __init__(self, window: Window) -> None:
        self.size = window.bucket_us
        self.span = window.buckets
        self.charges: dict[int, int] = {}
        self.total = 0
        self.unreported: dict[int, int] = {}
        self._last = 0

    def used(self, now_us: int) -> int:
        """What counts at this time. What is over is forgotten."""
        first = now_us // self.size - self.span
        while self.charges:
            oldest = next(iter(self.charges))
            if oldest >= first:
                break
            self.total -= self.charges.pop(oldest)
        return self.total

    def charge(self, at_us: int, cost: int) -> None:
        bucket = at_us // self.size
        self.charges[bucket] = self.charges.get(bucket, 0) + cost
        self.total += cost
        if bucket < self._last:  # it waited for a Redis that did not answer, and others did not
            self.charges = dict(sorted(self.charges.items()))
        else:
            self._last = bucket

    def refund(self, at_us: int, cost: int) -> None:
        bucket = at_us // self.size
        if bucket in self.charges:  # else it is over, and nothing is left to undo
            self.total -= cost
            self.charges[bucket] -= cost
            if not self.charges[bucket]:
                del self.charges[bucket]

    def back(self, now_us: int, enough: int) -> float:
        """Seconds until buckets are over that hold ``enough``; inf if all of them do not."""
        for bucket, charges in self.charges.items():
            enough -= charges
            if enough <= 0:
                return self._left(bucket, now_us)
        return float("inf")

    def oldest_left(self, now_us: int) -> float:
        """Seconds until the oldest bucket is over."""
        return self._left(next(iter(self.charges), now_us // self.size), now_us)

    def _left(self, bucket: int, now_us: int) -> float:
        return ((bucket + self.span + 1) * self.size - now_us) / 1_000_000


class _Caller:
    __slots__ = ("_by_seconds", "_counts", "_windows", "leases", "owes")

    def __init__(self) -> None:
        self._by_seconds: dict[float, _Count] = {}
        self._windows: tuple[Window, ...] = ()
        self._counts: list[_Count] = []
        self.leases: dict[str, float] = {}
        self.owes = False

    def counts(self, windows: tuple[Window, ...]) -> list[_Count]:
        """One a window. A window of another limit and the same length is the same window."""
        if windows is not self._windows:  # the caller's first request, or its plan is another now
            by_seconds = self._by_seconds
            for window in windows:
                by_seconds.setdefault(window.seconds, _Count(window))
            self._windows, self._counts = windows, [by_seconds[window.seconds] for window in windows]
        return self._counts

    def owes_more(self) -> bool:
        """Whether charges of another plan's windows are left, which Redis has not heard of."""
        return any(count.unreported for count in self._by_seconds.values())

    def told(self, now_us: int) -> Iterator[tuple[float, int, int, list[tuple[int, int]]]]:
        """As ``Remembered`` has them. Nothing is owed any more."""
        self.owes = False
        for seconds, count in self._by_seconds.items():
            count.unreported.clear()
            if count.used(now_us):
                ages = [(max(0, now_us - (bucket + 1) * count.size), cost) for bucket, cost in count.charges.items()]
                yield seconds, count.size, count.span, ages

    def running(self, now: float) -> int:
        """Leases that are held. Those that nobody released are forgotten."""
        self.leases = {name: deadline for name, deadline in self.leases.items() if deadline > now}
        return len(self.leases)


class LocalWindows:
    """Windows and leases of one process. Bounded: the callers longest unseen are forgotten.

    Args:
        workers: Processes that share the limits.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._callers: OrderedDict[str, _Caller] = OrderedDict()

    def hold(self, claim: Claim) -> Decision | None:
        """Charge every window and take the lease if all of it fits into the whole limits; else do neither.

        Returns:
            The refusal; None if it was charged.
        """
        caller = self._caller(claim.key_id)
        counts, now_us = caller.counts(claim.plan.windows), _us(claim)
        if self._charged(claim, caller, counts, now_us, workers=1):
            return None
        return self._decision(claim, caller, counts, now_us, workers=1, admitted=False)

    def decide(self, claim: Claim) -> Decision:
        """The same against this process's share of the limits, at least 1; always says how it stands."""
        caller = self._caller(claim.key_id)
        counts, now_us = caller.counts(claim.plan.windows), _us(claim)
        admitted = self._charged(claim, caller, counts, now_us, workers=self._workers)
        return self._decision(claim, caller, counts, now_us, workers=self._workers, admitted=admitted)

    def refund(self, claim: Claim) -> None:
        """Undo a charge that Redis did not confirm."""
        caller, at_us = self._caller(claim.key_id), _us(claim)
        caller.leases.pop(claim.lease, None)
        for count in caller.counts(claim.plan.windows):
            count.refund(at_us, claim.cost)

    def release(self, key_id: str, lease: str) -> None:
        """End a lease."""
        if (caller := self._callers.get(key_id)) is not None:
            caller.leases.pop(lease, None)

    def owe(self, claim: Claim, costs: tuple[int, ...]) -> None:
        """Note what was let in and Redis does not know: one cost a window of the plan; or nothing."""
        if not any(costs):
            return
        caller, at_us = self._caller(claim.key_id), _us(claim)
        caller.owes = True
        for count, cost in zip(caller.counts(claim.plan.windows), costs, strict=True):
            bucket = at_us // count.size
            count.unreported[bucket] = count.unreported.get(bucket, 0) + cost

    def take_debt(self, claim: Claim) -> tuple[int, ...]:
        """What Redis does not know and is still in its window: a number a window, or none. Forgotten from now on."""
        caller = self._caller(claim.key_id)
        if not caller.owes:
            return ()
        at_us, debt = _us(claim), []
        for count in caller.counts(claim.plan.windows):
            oldest = at_us // count.size - count.span
            debt.append(sum(cost for bucket, cost in count.unreported.items() if bucket >= oldest))
            count.unreported.clear()
        caller.owes = caller.owes_more()
        return tuple(debt)

    def remembered(self, now_us: int, belongs: Callable[[str], bool]) -> Iterator[Remembered]:
        """What was let in, also while Redis was away: that is owed no longer.

        Args:
            now_us: The monotonic clock's, microseconds.
            belongs: Whether a caller is asked for, by its ID.
        """
        for key_id, caller in list(self._callers.items()):
            if not belongs(key_id):
                continue
            caller.running(now_us / 1_000_000)
            leases = [(name, int(deadline * 1_000_000)) for name, deadline in caller.leases.items()]
            windows = list(caller.told(now_us))
            if windows or leases:
                yield Remembered(key_id, windows, leases)

    def _caller(self, key_id: str) -> _Caller:
        caller = self._callers.get(key_id)
        if caller is None:
            caller = self._callers[key_id] = _Caller()
            if len(self._callers) > MAX_CALLERS:
                self._callers.popitem(last=False)
        else:
            self._callers.move_to_end(key_id)
        return caller

    def _charged(self, claim: Claim, caller: _Caller, counts: list[_Count], now_us: int, *, workers: int) -> bool:
        plan, cost = claim.plan, claim.cost
        for window, count in zip(plan.windows, counts, strict=True):
            if count.used(now_us) + cost > _part(window.limit, workers):
                return False
        if plan.concurrency is not None:
            most = _part(plan.concurrency, workers)
            if len(caller.leases) >= most and caller.running(claim.at) >= most:
                return False
            caller.leases[claim.lease] = claim.at + claim.lease_seconds
        for count in counts:
            count.charge(now_us, cost)
        return True

    def _decision(
        self, claim: Claim, caller: _Caller, counts: list[_Count], now_us: int, *, workers: int, admitted: bool
    ) -> Decision:
        states = []
        for window, count in zip(claim.plan.windows, counts, strict=True):
            limit, used = _part(window.limit, workers), count.used(now_us)
            over = used + claim.cost - limit
            refused = not admitted and over > 0
            back = count.back(now_us, over) if refused else count.oldest_left(now_us)
            states.append(WindowState(window, limit, limit - used, back, refused=refused))
        concurrency = None if claim.plan.concurrency is None else _part(claim.plan.concurrency, workers)
        return Decision(claim.plan, tuple(states), caller.running(claim.at), concurrency, admitted, "local")


def _part(limit: int, workers: int) -> int:
    return max(1, limit // workers)


def _us(claim: Claim) -> int:
    return int(claim.at * 1_000_000)
