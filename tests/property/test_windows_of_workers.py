"""Eight processes, real servers, and what happens to those: never more than N in any true window, over all of them.

True is what the machine's monotonic clock says between a caller's asking and its answer; Redis's clock is not asked.
``benchmarks/windows.py`` does the same for as long as you like.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.admission import window_server
from gateway.admission.decision import Claim
from gateway.admission.plans import Plan, Window
from gateway.admission.shared_windows import SharedWindows
from gateway.settings import RedisSettings
from tests.support.clock import Clock
from tests.support.crowd import Crowd, Task
from tests.support.limiters import decide
from tests.support.valkey_cluster import Node, Watched, free_ports, wait_for
from tests.support.window_model import Verdict, hold_exact, hold_running, hold_true

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.crowd import Report
    from tests.support.valkey import ValkeyServer

PLAN = Plan(
    windows=(
        Window(name="tenth", limit=15, seconds=0.1),
        Window(name="quarter", limit=30, seconds=0.25),
    ),
    concurrency=9,
)


@pytest.fixture(scope="module")
def crowd() -> Iterator[Crowd]:
    with Crowd() as workers:
        yield workers


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def server(folder: Path, *options: str, clock: Clock | None = None, program: str | None = None) -> Node:
    """The wheel's Valkey, or another program of its kind; keeps nothing unless told to."""
    (port,) = free_ports(1)
    options = options or ("--save", "", "--appendonly", "no")
    node = Node(folder, port, *options, server=program, environment=clock.environment if clock else None)
    wait_for(node.answers)
    return node


def hold(reports: list[Report], plan: Plan) -> None:
    verdicts = [verdict for report in reports for verdict in report.verdicts]
    assert len(verdicts) > max(window.limit for window in plan.windows) / 3, "too little happened"
    hold_true(verdicts, plan)
    assert plan.concurrency is not None
    hold_running([held for report in reports for held in report.held], plan.concurrency)


def test_each_verdict_is_the_models_and_a_refusal_charges_nothing(crowd: Crowd, valkey: ValkeyServer) -> None:
    second = Window(name="second", limit=60, seconds=1.0)
    plan = Plan(windows=(*PLAN.windows, second))
    reports = crowd.run(Task(valkey.url, plan, 0.8, whole=False))
    verdicts = [verdict for report in reports for verdict in report.verdicts]
    assert any(not verdict.admitted for verdict in verdicts)
    hold_exact(verdicts, plan)
    hold_true(verdicts, plan)


def test_a_clock_that_goes_back_opens_nothing(crowd: Crowd, clock: Clock, tmp_path: Path) -> None:
    node = server(tmp_path / "server", clock=clock)
    try:
        crowd.begin(Task(node.url, PLAN, 1.3))
        for seconds in (0.03, 0.4, 5000.0, 0.2):
            time.sleep(0.25)
            clock.step(-seconds)
        hold(crowd.reports(), PLAN)
        time.sleep(0.27)  # one window and one bucket later all is open again
        tenth = Plan(windows=PLAN.windows[:1])
        healed = [verdict.cost for report in crowd.run(Task(node.url, tenth, 0.4)) for verdict in report.verdicts]
        assert sum(healed) > tenth.windows[0].limit
    finally:
        node.stop()


def test_a_clock_that_goes_forward_opens_nothing(crowd: Crowd, clock: Clock, tmp_path: Path) -> None:
    node = server(tmp_path / "server", clock=clock)
    try:
        crowd.begin(Task(node.url, PLAN, 1.0))
        for seconds in (0.3, 5000.0):
            time.sleep(0.25)
            clock.step(seconds)
        hold(crowd.reports(), PLAN)
    finally:
        node.stop()


@pytest.mark.parametrize("keeps", [("yes", "--appendfsync", "always"), ("no",)])
def test_a_restart_opens_nothing_whatever_redis_keeps(crowd: Crowd, tmp_path: Path, keeps: tuple[str, ...]) -> None:
    node = server(tmp_path / "server", "--save", "", "--appendonly", *keeps)
    try:
        crowd.begin(Task(node.url, PLAN, 1.2))
        time.sleep(0.3)
        node.kill()
        node.start()
        wait_for(node.answers)
        back = time.monotonic()
        reports = crowd.reports()
    finally:
        node.stop()
    assert any(verdict.begin > back for report in reports for verdict in report.verdicts)
    hold(reports, PLAN)


def test_nothing_that_happens_to_redis_opens_anything(crowd: Crowd, clock: Clock, tmp_path: Path) -> None:
    long = Plan(windows=(*PLAN.windows, Window(name="minute", limit=90, seconds=60.0)), concurrency=9)
    chance, node = random.Random(5), server(tmp_path / "server", clock=clock)

    def flush() -> None:
        with node.client() as client:
            client.flushall()

    def restart() -> None:
        node.kill()
        node.start()
        wait_for(node.answers)

    def step() -> None:
        clock.step(chance.choice((-1, 1)) * 10 ** chance.uniform(-3, 5.5))

    try:
        crowd.begin(Task(node.url, long, 3.0))
        for happens in chance.sample((flush, restart, step, step), 4):
            time.sleep(chance.uniform(0.3, 0.7))
            happens()
        hold(crowd.reports(), long)
    finally:
        node.stop()


def test_a_failover_to_a_replica_that_has_heard_of_nothing_opens_nothing(crowd: Crowd, tmp_path: Path) -> None:
    plan = Plan(windows=(PLAN.windows[0], Window(name="long", limit=60, seconds=60.0)), concurrency=9)
    watched = Watched(tmp_path)
    try:
        crowd.begin(Task(watched.url, plan, 3.0))
        time.sleep(0.4)
        watched.fail_over(heard=False)
        reports = crowd.reports() + crowd.run(Task(watched.url, plan, 0.8))
    finally:
        watched.stop()
    hold(reports, plan)
    assert sum(verdict.cost for report in reports for verdict in report.verdicts) >= plan.windows[1].limit - 2


steps = st.tuples(st.sampled_from((0.0, 0.0, 0.004, 0.3, 1.7, 59.0, 61.2, 3600.0, 90_000.0)), st.integers(1, 90))
limits = st.lists(st.sampled_from((1, 5, 60, 300, 70_000)), min_size=1, max_size=4)


@pytest.mark.parametrize("program", ["", "redis-server"])
def test_each_verdict_is_the_models_over_days(
    clock: Clock, tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = window_server.now_us  # days pass for the gateway, too: nobody sets a clock
    monkeypatch.setattr(window_server, "now_us", lambda: own() + round(clock.ahead * 1e6))
    if program and shutil.which(program) is None:
        pytest.skip(f"needs {program} in PATH (Debian: apt install redis-server)")
    node = server(tmp_path / "server", clock=clock, program=shutil.which(program) if program else None)

    @settings(max_examples=60, deadline=None)
    @given(limits=limits, steps=st.lists(steps, min_size=1, max_size=60))
    def hold_days(limits: list[int], steps: list[tuple[float, int]]) -> None:
        lengths = (1.0, 60.0, 3600.0, 86_400.0)
        plan = Plan(
            windows=tuple(
                Window(name=f"w{number}", limit=limit, seconds=seconds)
                for number, (limit, seconds) in enumerate(zip(limits, lengths, strict=False))
            )
        )
        hold_exact(asyncio.run(_walk(node, clock, plan, steps)), plan)

    try:
        hold_days()
    finally:
        node.stop()


async def _walk(node: Node, clock: Clock, plan: Plan, steps: list[tuple[float, int]]) -> list[Verdict]:
    with node.client() as client:
        client.delete(*client.keys("rl:*"), "nothing")
    windows, verdicts = SharedWindows(RedisSettings(url=SecretStr(node.url), timeout_seconds=5)), []
    for number, (seconds, cost) in enumerate(steps):
        clock.step(seconds)
        decision = await decide(windows, Claim("key_a", plan, cost, f"{number:016}", 60, 0))
        verdicts.append(Verdict.of(decision, cost, 0.0, 0.0))
    await windows.close()
    return verdicts
