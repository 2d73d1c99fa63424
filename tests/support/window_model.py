"""What the limiter promises, written down as plainly as possible: a list of charges, and nothing that is fast.

Two models. ``Model`` says what each verdict must be, to the microsecond, while the clock does not go back.
``hold_true`` knows nothing of buckets and of Redis's clock: it holds what was let in, and when the callers saw it,
against the plan.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.admission.decision import Decision
    from gateway.admission.plans import Plan, Window


class State(NamedTuple):
    """One window after a verdict: room left, microseconds until room comes back (None: never), whether it refuses."""

    room: int
    back_us: int | None
    refused: bool


class Verdict(NamedTuple):
    """A decision, and when it was made: on Redis's clock, and on the machine's between the asking and the answer."""

    at_us: int
    cost: int
    admitted: bool
    states: tuple[State, ...]
    begin: float
    end: float
    lease: str = ""

    @classmethod
    def of(cls, decision: Decision, cost: int, begin: float, end: float, lease: str = "") -> Verdict:
        """What was decided."""
        states = tuple(
            State(each.remaining, round(each.back * 1e6) if math.isfinite(each.back) else None, each.refused)
            for each in decision.windows
        )
        return cls(round(decision.at * 1e6), cost, decision.admitted, states, begin, end, lease)


class Model:
    """Every verdict on one caller, in the order of Redis's clock."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._charges: list[tuple[int, int]] = []

    def decide(self, at_us: int, cost: int) -> tuple[bool, tuple[State, ...]]:
        """Charged if all windows let it in, and only then."""
        lives = [self._live(window, at_us) for window in self._plan.windows]
        used = [sum(charge for _, charge in live) for live in lives]
        over = [spent + cost - window.limit for spent, window in zip(used, self._plan.windows, strict=True)]
        admitted = all(excess <= 0 for excess in over)
        if admitted:
            self._charges.append((at_us, cost))
        states = []
        for window, live, spent, excess in zip(self._plan.windows, lives, used, over, strict=True):
            bucket = at_us // window.bucket_us
            if excess > 0:
                bucket = _until(live, excess, bucket)
            elif live:
                bucket = live[0][0]
            back = (bucket + window.buckets + 1) * window.bucket_us - at_us
            room = window.limit - spent - (cost if admitted else 0)
            states.append(State(room, None if cost > window.limit else back, excess > 0))
        return admitted, tuple(states)

    def _live(self, window: Window, at_us: int) -> list[tuple[int, int]]:
        """Charges that count: those of the present bucket and of the n before it, whole."""
        first = at_us // window.bucket_us - window.buckets
        return [(at // window.bucket_us, cost) for at, cost in self._charges if at // window.bucket_us >= first]


def _until(live: list[tuple[int, int]], excess: int, present: int) -> int:
    for bucket, charge in live:
        excess -= charge
        if excess <= 0:
            return bucket
    return present


def hold_exact(verdicts: Iterable[Verdict], plan: Plan) -> None:
    """Each verdict is the model's. Where two came in the same microsecond, the room left tells their order."""
    model = Model(plan)
    for verdict in sorted(verdicts, key=lambda each: (each.at_us, -each.states[0].room, not each.admitted)):
        expected = model.decide(verdict.at_us, verdict.cost)
        assert (verdict.admitted, verdict.states) == expected, f"at {verdict.at_us}"


def most_in_any(verdicts: Sequence[Verdict], seconds: float) -> int:
    """The most that was surely let in within so long: asked for after its beginning, and answered before its end."""
    admitted = sorted((each for each in verdicts if each.admitted), key=lambda each: each.begin)
    most = 0
    for number, first in enumerate(admitted):
        inside = 0
        for each in admitted[number:]:
            if each.begin >= first.begin + seconds:
                break
            if each.end < first.begin + seconds:
                inside += each.cost
        most = max(most, inside)
    return most


def hold_true(verdicts: Sequence[Verdict], plan: Plan) -> None:
    """No true window of the plan ever held more than its limit."""
    for window in plan.windows:
        most = most_in_any(verdicts, window.seconds)
        assert most <= window.limit, f"{most} in one {window.seconds} s window of {window.limit}"


def hold_running(held: Sequence[tuple[float, float]], most: int) -> None:
    """Never more than so many ran at once: surely, from when one was let in to when it began to be released."""
    changes = sorted([(begin, 1) for begin, _ in held] + [(end, -1) for _, end in held])
    running = 0
    for _, change in changes:
        running += change
        assert running <= most, f"{running} at once of {most}"
