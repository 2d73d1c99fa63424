"""Step 1 of 7: the same windows, counted by one process for itself.

Three uses. Before Redis is asked, the process's own requests are held against the whole limit: a Redis that comes back
empty cannot re-open a window for a process that filled it. While Redis is away, they are held against this process's
share of the limit. When it is back, what was let in meanwhile is reported to it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.admission.decision import Decision, WindowState

if TYPE_CHECKING:
    from gateway.admission.decision import Claim
    from gateway.admission.plans import Window

MAX_CALLERS = 10_000


@dataclass(slots=True)
class _Count:
    """Sub-buckets of one window of one caller, and those of their requests that Redis has not heard of."""

    buckets: dict[int, int] = field(default_factory=dict)
    unreported: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Caller:
    counts: dict[float, _Count] = field(default_factory=dict)
    leases: dict[str, float] = field(default_factory=dict)


class LocalWindows:
    """Windows and leases of one process. Bounded: the callers longest unseen are forgotten.

    Args:
        workers: Processes that share the limits.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._callers: OrderedDict[str, _Caller] = OrderedDict()

    def reserve(self, claim: Claim, *, share: bool = False) -> Decision:
        """Charge every window and take the lease, or do neither.

        Args:
            claim: The request.
            share: Hold against this process's share of the limits, at least 1, and not the whole of them.
        """
        plan, cost, now = claim.plan, claim.cost, claim.at
        caller = self._caller(claim.key_id)
        concurrency = None
        if plan.concurrency is not None:
            concurrency = self._part(plan.concurrency, share=share)
            caller.leases = {name: deadline for name, deadline in caller.leases.items() if deadline > now}
        states = tuple(
            self._state(caller, window, cost, self._part(window.limit, share=share), now) for window in plan.windows
        )
        full = concurrency is not None and len(caller.leases) >= concurrency
        admitted = not full and not any(state.refused for state in states)
        if admitted:
            for window in plan.windows:
                _add(_count(caller, window).buckets, _bucket(window, now), cost)
            if concurrency is not None:
                caller.leases[claim.lease] = now + claim.lease_seconds
            states = tuple(replace(state, remaining=state.remaining - cost) for state in states)
        return Decision(plan, states, len(caller.leases), concurrency, admitted, "local")

    def refund(self, claim: Claim) -> None:
        """Undo a reservation that Redis did not confirm."""
        caller = self._caller(claim.key_id)
        caller.leases.pop(claim.lease, None)
        for window in claim.plan.windows:
            buckets = _count(caller, window).buckets
            bucket = _bucket(window, claim.at)
            if bucket in buckets:  # else it is over, and nothing is left to undo
                _add(buckets, bucket, -claim.cost)
                if not buckets[bucket]:
                    del buckets[bucket]

    def release(self, key_id: str, lease: str) -> None:
        """End a lease."""
        if (caller := self._callers.get(key_id)) is not None:
            caller.leases.pop(lease, None)

    def owe(self, claim: Claim, costs: tuple[int, ...]) -> None:
        """Note what was let in and Redis does not know: one cost a window of the plan."""
        caller = self._caller(claim.key_id)
        for window, cost in zip(claim.plan.windows, costs, strict=True):
            if cost:
                _add(_count(caller, window).unreported, _bucket(window, claim.at), cost)

    def take_debt(self, claim: Claim) -> tuple[int, ...]:
        """What Redis does not know and is still in its window: one number a window. Forgotten here from now on."""
        caller = self._caller(claim.key_id)
        debt = []
        for window in claim.plan.windows:
            count = _count(caller, window)
            oldest = _bucket(window, claim.at) - window.buckets
            debt.append(sum(cost for bucket, cost in count.unreported.items() if bucket >= oldest))
            count.unreported.clear()
        return tuple(debt)

    def _part(self, limit: int, *, share: bool) -> int:
        return max(1, limit // self._workers) if share else limit

    def _caller(self, key_id: str) -> _Caller:
        caller = self._callers.setdefault(key_id, _Caller())
        self._callers.move_to_end(key_id)
        if len(self._callers) > MAX_CALLERS:
            self._callers.popitem(last=False)
        return caller

    def _state(self, caller: _Caller, window: Window, cost: int, limit: int, now: float) -> WindowState:
        count = _count(caller, window)
        bucket = _bucket(window, now)
        for old in [number for number in count.buckets if number < bucket - window.buckets]:
            del count.buckets[old]
        used = sum(count.buckets.values())
        over = used + cost - limit
        if over <= 0:
            oldest = min(count.buckets, default=bucket)
            return WindowState(window, limit, limit - used, _end(window, oldest) - now)
        back = float("inf")
        for number in sorted(count.buckets):
            over -= count.buckets[number]
            if over <= 0:
                back = _end(window, number) - now
                break
        return WindowState(window, limit, limit - used, back, refused=True)


def _count(caller: _Caller, window: Window) -> _Count:
    return caller.counts.setdefault(window.seconds, _Count())


def _bucket(window: Window, now: float) -> int:
    return int(now * 1_000_000) // window.bucket_us


def _end(window: Window, bucket: int) -> float:
    return (bucket + window.buckets + 1) * window.bucket_us / 1_000_000


def _add(buckets: dict[int, int], bucket: int, cost: int) -> None:
    buckets[bucket] = buckets.get(bucket, 0) + cost
