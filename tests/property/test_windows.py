"""Never more than N in any window, and no refusal without a reason: held against what was really admitted, and when.

The oracle keeps every admitted request with Redis's own time. It knows nothing of sub-buckets.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.admission.decision import Claim, Decision
from gateway.admission.local_windows import LocalWindows
from gateway.admission.plans import Plan, Window
from gateway.admission.shared_windows import SharedWindows
from gateway.settings import RedisSettings
from tests.support.limiters import decide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.valkey import ValkeyServer

CLOCK_STEP = 2e-6
CLOCK_SET = 2e-3  # more than a clock is slewed by while a schedule is played


@dataclass(frozen=True)
class Verdict:
    at: float
    cost: int
    admitted: bool
    back: tuple[float | None, ...]  # for each window: seconds until it takes this cost; None if it does not refuse


def verdict_of(decision: Decision, at: float, cost: int) -> Verdict:
    back = tuple(state.back if state.refused else None for state in decision.windows)
    return Verdict(at, cost, decision.admitted, back)


def hold_against_oracle(verdicts: Sequence[Verdict], plan: Plan) -> None:
    verdicts = sorted(verdicts, key=lambda verdict: verdict.at)
    admitted = [verdict for verdict in verdicts if verdict.admitted]
    for window in plan.windows:
        for last in admitted:
            inside = sum(each.cost for each in admitted if last.at - window.seconds < each.at <= last.at)
            assert inside <= window.limit, f"{inside} in one {window.seconds} s window of {window.limit}"
    for refused in (verdict for verdict in verdicts if not verdict.admitted):
        reasons = (
            sum(each.cost for each in admitted if refused.at - held(window) - CLOCK_STEP <= each.at <= refused.at)
            + refused.cost
            > window.limit
            for window in plan.windows
        )
        assert any(reasons), "refused without a reason"
        for window, back in zip(plan.windows, refused.back, strict=True):
            if back is not None and math.isfinite(back):
                hold_return_against_oracle(refused, window, refused.at + back, admitted)


def hold_return_against_oracle(refused: Verdict, window: Window, returns: float, admitted: Sequence[Verdict]) -> None:
    """At the time that the caller was told there is room if nothing else comes, and a moment before there is none."""
    # Which of two in the same microsecond was first is not known: neither way is anybody blamed for it.
    before = [each for each in admitted if each.at <= refused.at]
    surely_before = [each for each in before if each.at < refused.at]
    room, full = window.limit - refused.cost, returns - window.seconds + CLOCK_STEP
    assert sum(each.cost for each in surely_before if each.at > full) <= room, "too early"
    oldest = returns - held(window) - CLOCK_STEP
    assert sum(each.cost for each in before if each.at >= oldest) > room, "too late"


def held(window: Window) -> float:
    """Longest that a request counts, seconds: one sub-bucket longer than all of them together."""
    return (window.buckets + 1) * window.bucket_us / 1e6


plans = st.builds(
    lambda limits: Plan(
        windows=tuple(
            Window(name=f"w{number}", limit=limit, seconds=seconds)
            for number, (limit, seconds) in enumerate(zip(limits, (0.03, 0.1, 0.25), strict=False))
        )
    ),
    st.lists(st.integers(1, 12), min_size=1, max_size=3),
)
schedules = st.lists(st.tuples(st.integers(0, 25), st.integers(1, 3)), min_size=1, max_size=40)


def play(server: ValkeyServer, plan: Plan, schedules: Sequence[Sequence[tuple[int, int]]]) -> list[Verdict]:
    """Each schedule is one worker's: pauses in milliseconds and costs. All ask for the same caller at once.

    The oracle goes by Redis's clock, which is the machine's: if that was set meanwhile, it is played again.
    """
    while True:
        set_before = time.time() - time.monotonic()
        verdicts = _play(server, plan, schedules)
        if abs(time.time() - time.monotonic() - set_before) < CLOCK_SET:
            return verdicts


def _play(server: ValkeyServer, plan: Plan, schedules: Sequence[Sequence[tuple[int, int]]]) -> list[Verdict]:

    async def worker(schedule: Sequence[tuple[int, int]]) -> list[Verdict]:
        windows = SharedWindows(RedisSettings(url=SecretStr(server.url), timeout_seconds=5))
        verdicts = []
        for number, (pause, cost) in enumerate(schedule):
            await asyncio.sleep(pause / 1000)
            claim = Claim("key_a", plan, cost, f"{id(schedule)}-{number}", 60, 0)
            decision = await decide(windows, claim, (0,) * len(plan.windows))
            verdicts.append(verdict_of(decision, decision.at, cost))
        await windows.close()
        return verdicts

    async def all_of_them() -> list[Verdict]:
        return [verdict for each in await asyncio.gather(*map(worker, schedules)) for verdict in each]

    server.clear()
    return asyncio.run(all_of_them())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans, workers=st.lists(schedules, min_size=1, max_size=3))
def test_no_true_window_ever_holds_more_than_its_limit(
    valkey: ValkeyServer, plan: Plan, workers: list[list[tuple[int, int]]]
) -> None:
    hold_against_oracle(play(valkey, plan, workers), plan)


def test_a_burst_at_every_edge_of_the_window_gains_nothing(valkey: ValkeyServer) -> None:
    """The schedule that lets twice the limit through a weighted pair of fixed windows.

    However slowly it is played: the first burst finds the window empty, and the last begins 600 ms after it, so the
    window that it fills holds nothing of the first.
    """
    plan = Plan(windows=(Window(name="w", limit=20, seconds=0.2),))
    bursts = [(pause if first == 0 else 0, 1) for pause in (0, 190, 20, 190, 20, 190) for first in range(40)]
    verdicts = play(valkey, plan, [bursts])
    assert sum(verdict.admitted for verdict in verdicts) >= 40
    hold_against_oracle(verdicts, plan)


def test_a_window_kept_full_takes_a_request_only_when_one_has_left(valkey: ValkeyServer) -> None:
    plan = Plan(windows=(Window(name="w", limit=40, seconds=0.3),))
    verdicts = play(valkey, plan, [[(1, 1)] * 600])
    assert sum(verdict.admitted for verdict in verdicts) >= 80
    hold_against_oracle(verdicts, plan)


@given(
    plan=plans,
    steps=st.lists(st.tuples(st.integers(0, 60_000), st.integers(1, 3)), min_size=1, max_size=120),
)
def test_the_process_for_itself_keeps_the_same_promise(plan: Plan, steps: list[tuple[int, int]]) -> None:
    windows = LocalWindows(workers=1)
    now, verdicts = 1000.0, []
    for number, (pause, cost) in enumerate(steps):
        now += pause / 1_000_000
        decision = windows.decide(Claim("key_a", plan, cost, str(number), 60, now))
        verdicts.append(verdict_of(decision, now, cost))
    hold_against_oracle(verdicts, plan)


@given(
    plan=plans,
    steps=st.lists(st.tuples(st.integers(0, 60_000), st.booleans()), min_size=1, max_size=60),
)
def test_a_refunded_request_leaves_no_trace(plan: Plan, steps: list[tuple[int, bool]]) -> None:
    windows = LocalWindows(workers=1)
    now, verdicts = 1000.0, []
    for number, (pause, keep) in enumerate(steps):
        now += pause / 1_000_000
        claim = Claim("key_a", plan, 1, str(number), 60, now)
        decision = windows.decide(claim)
        if decision.admitted and not keep:
            windows.refund(claim)
        else:
            verdicts.append(verdict_of(decision, now, 1))
    hold_against_oracle(verdicts, plan)
