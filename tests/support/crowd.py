"""Workers in processes of their own, as those of a gateway are, that ask for one caller as fast as they can."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import random
import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from pydantic import SecretStr

from gateway.admission.decision import Claim
from gateway.admission.limiter import Limiter
from gateway.admission.plans import Plans
from gateway.admission.shared_windows import SharedWindows
from gateway.errors import LimiterUnavailable, QuotaExceeded
from gateway.settings import RedisSettings
from tests.support.limiters import caller, decide
from tests.support.window_model import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from typing import Self

    from gateway.admission.plans import Plan

KEY_ID = "key_a"


class Task(NamedTuple):
    """What every worker is to do.

    Attributes:
        url: Of Redis.
        plan: The caller's.
        seconds: For how long.
        whole: Ask the limiter as the gateway does; else its script alone, and report what it says of each window.
        most_cost: Costs are 1 to this.
        pause: Longest pause between two requests of one task, seconds. Now and then they all come at once.
        failure: The limiter's policy while Redis is away.
        key_id: The caller.
    """

    url: str
    plan: Plan
    seconds: float
    whole: bool = True
    most_cost: int = 3
    pause: float = 0.004
    failure: str = "closed"
    key_id: str = KEY_ID


class Held(NamedTuple):
    """A request that was let in: surely running from ``begin`` to ``end``, on the machine's monotonic clock."""

    begin: float
    end: float


class Report(NamedTuple):
    """Of one worker."""

    verdicts: list[Verdict]
    held: list[Held]
    unavailable: int


class Crowd:
    """Eight processes. They are there from the beginning to the end of a ``with``."""

    def __init__(self, processes: int = 8) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.support.crowd"])
        self._ends: list[Any] = []
        self._processes = []
        for seed in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, seed), daemon=True)
            process.start()
            self._ends.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.send(None)
        for process in self._processes:
            process.join(10)

    def begin(self, task: Task) -> None:
        """Let all of them do it, and return as soon as they are about it."""
        for end in self._ends:
            end.send(task)
        self._each()

    def reports(self) -> list[Report]:
        """Of what they did, when they have."""
        return self._each()

    def _each(self) -> list[Any]:
        found = [end.recv() for end in self._ends]
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return found

    def run(self, task: Task) -> list[Report]:
        """Both."""
        self.begin(task)
        return self.reports()


def _work(end: Connection, seed: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # Redis goes and comes
    chance = random.Random(seed)
    while (task := end.recv()) is not None:
        try:
            end.send(asyncio.run(_ask(task, chance, lambda: end.send(True))))
        except Exception as error:  # noqa: BLE001 - it is raised where it is heard of
            end.send(error)


async def _ask(task: Task, chance: random.Random, ready: Callable[[], None]) -> Report:
    report = Report([], [], 0)
    settings = RedisSettings(url=SecretStr(task.url), timeout_seconds=2.0)
    asker: Any
    if task.whole:
        asker = Limiter(settings, Plans({"plan": task.plan}), failure=task.failure, workers=8)  # type: ignore[arg-type]
    else:
        asker = SharedWindows(settings)
    await asker.ping()
    ready()
    until = time.monotonic() + task.seconds
    ask = _through_limiter if task.whole else _through_script
    try:
        counts = await asyncio.gather(*(ask(asker, task, chance, until, report) for _ in range(2)))
    finally:
        await asker.close()
    return report._replace(unavailable=sum(counts))


async def _rest(task: Task, chance: random.Random) -> None:
    """Mostly a short pause; now and then none for a while."""
    if chance.random() < 0.7:
        await asyncio.sleep(chance.random() * task.pause)


async def _through_script(
    windows: SharedWindows, task: Task, chance: random.Random, until: float, report: Report
) -> int:
    while (begin := time.monotonic()) < until:
        cost = chance.randint(1, task.most_cost)
        claim = Claim(task.key_id, task.plan, cost, secrets.token_hex(8), 60, begin)
        decision = await decide(windows, claim)
        report.verdicts.append(Verdict.of(decision, cost, begin, time.monotonic()))
        await _rest(task, chance)
    return 0


async def _through_limiter(limiter: Limiter, task: Task, chance: random.Random, until: float, report: Report) -> int:
    unavailable = 0
    while (begin := time.monotonic()) < until:
        cost, name = chance.randint(1, task.most_cost), secrets.token_hex(4)
        try:
            await limiter.acquire(caller(key_id=task.key_id), name, cost, lease_seconds=30)
        except QuotaExceeded:
            await asyncio.sleep(0.001)  # refused by the process itself, without a trip to Redis
        except LimiterUnavailable:
            unavailable += 1
            await asyncio.sleep(0.15)  # or the breaker opens, for longer than this lasts
        else:
            answered = time.monotonic()
            report.verdicts.append(Verdict(0, cost, True, (), begin, answered))
            await asyncio.sleep(chance.random() * task.pause)
            report.held.append(Held(answered, time.monotonic()))
            await limiter.release(caller(key_id=task.key_id), name)
        await _rest(task, chance)
    return unavailable
