"""The limiter's promise for as long as you like: eight processes, and a Redis that is set back, restarted or lost.

    python benchmarks/windows.py [--minutes 2] [--seed 0]

Each round is one of the ways below, with windows, costs and times drawn anew. What was let in within any true window,
by the machine's monotonic clock, is held against the limit. In rounds of verdicts each answer of the script, the room
left and the time until more comes back included, is held against an exact model.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.console import Console
from rich.table import Table

from gateway.admission.plans import Plan, Window
from tests.support.clock import Clock
from tests.support.crowd import Crowd, Task
from tests.support.valkey_cluster import Node, Watched, free_ports, wait_for
from tests.support.window_model import hold_exact, hold_running, hold_true, most_in_any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.crowd import Report

SECONDS = 3.0


@dataclass(slots=True)
class Tally:
    """Of one way."""

    rounds: int = 0
    admitted: int = 0
    worst: float = 0.0
    bound: int = 1
    broken: list[str] = field(default_factory=list)


class Rounds:
    """What can be done to a Redis. Each returns what was let in, and how many times the limit that may be."""

    def __init__(self, crowd: Crowd, folder: Path, chance: random.Random) -> None:
        self._crowd = crowd
        self._folder = folder
        self._chance = chance
        self._clock = Clock(folder)
        self._number = 0

    def verdicts(self, plan: Plan) -> tuple[list[Report], int]:
        """Nothing is done, and each answer is held against the model."""
        plan = plan.model_copy(update={"concurrency": None})
        node = self._server("--save", "", "--appendonly", "no")
        try:
            reports = self._crowd.run(Task(node.url, plan, SECONDS, whole=False))
        finally:
            node.stop()
        hold_exact([verdict for report in reports for verdict in report.verdicts], plan)
        return reports, 1

    def set_back(self, plan: Plan) -> tuple[list[Report], int]:
        """Several times, by milliseconds to hours."""
        return self._steps(plan, -1), 1

    def put_forward(self, plan: Plan) -> tuple[list[Report], int]:
        """Once: each step opens each window once."""
        return self._steps(plan, 1), 2

    def restarted(self, plan: Plan) -> tuple[list[Report], int]:
        """One that keeps what it answers."""
        return self._restart(plan, "--appendonly", "yes", "--appendfsync", "always"), 1

    def lost(self, plan: Plan) -> tuple[list[Report], int]:
        """One that keeps nothing."""
        return self._restart(plan, "--save", "", "--appendonly", "no"), 2

    def failed_over(self, plan: Plan) -> tuple[list[Report], int]:
        """In the midst of it: what was not copied is lost, so the bound is that of a loss."""
        self._number += 1
        watched = Watched(self._folder / str(self._number))
        try:
            self._crowd.begin(Task(watched.url, plan, 2 * SECONDS + 3))
            time.sleep(self._chance.uniform(0.5, 1.5))
            watched.fail_over()
            return self._crowd.reports(), 2
        finally:
            watched.stop()

    def _server(self, *options: str) -> Node:
        self._number += 1
        (port,) = free_ports(1)
        folder = self._folder / str(self._number)
        node = Node(folder, port, *options, environment=self._clock.environment)
        wait_for(node.answers)
        return node

    def _steps(self, plan: Plan, sign: int) -> list[Report]:
        node = self._server("--save", "", "--appendonly", "no")
        try:
            self._crowd.begin(Task(node.url, plan, SECONDS))
            for _ in range(5 if sign < 0 else 1):
                time.sleep(self._chance.uniform(0.1, 0.5))
                self._clock.step(sign * 10 ** self._chance.uniform(-3, 4))
            return self._crowd.reports()
        finally:
            node.stop()

    def _restart(self, plan: Plan, *options: str) -> list[Report]:
        node = self._server(*options)
        try:
            self._crowd.begin(Task(node.url, plan, SECONDS))
            time.sleep(self._chance.uniform(0.1, 1.0))
            node.kill()
            node.start()
            return self._crowd.reports()
        finally:
            node.stop()


def plan_of(chance: random.Random) -> Plan:
    lengths = sorted(chance.sample((0.05, 0.1, 0.25, 0.6, 1.0, 2.0), chance.randint(1, 3)))
    windows = tuple(
        Window(name=f"w{number}", limit=chance.randint(3, 300), seconds=seconds)
        for number, seconds in enumerate(lengths)
    )
    return Plan(windows=windows, concurrency=chance.randint(2, 12))


def judge(tally: Tally, reports: list[Report], plan: Plan, bound: int) -> None:
    verdicts = [verdict for report in reports for verdict in report.verdicts]
    tally.rounds += 1
    tally.bound = bound
    tally.admitted += sum(verdict.admitted for verdict in verdicts)
    worst = max(most_in_any(verdicts, window.seconds) / window.limit for window in plan.windows)
    tally.worst = max(tally.worst, worst)
    hold_true(verdicts, plan, bound)
    for report in reports:
        hold_true(report.verdicts, plan)
    if bound == 1 and plan.concurrency is not None:
        hold_running([held for report in reports for held in report.held], plan.concurrency)


def show(tallies: dict[str, Tally]) -> None:
    table = Table(box=None)
    for column in ("", "rounds", "let in", "most in any window", "promised", "broken"):
        table.add_column(column, justify="left" if not column else "right")
    for name, tally in tallies.items():
        cells = (tally.rounds, f"{tally.admitted:,}", f"{tally.worst:.3f} N", f"{tally.bound} N", len(tally.broken))
        table.add_row(name.replace("_", " "), *(str(cell) for cell in cells))
    Console(width=110).print(table)
    for tally in tallies.values():
        for text in tally.broken:
            print(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, help="for how long")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    choice = parser.parse_args()
    chance, tallies = random.Random(choice.seed), defaultdict[str, Tally](Tally)
    until = time.monotonic() + 60 * choice.minutes
    with tempfile.TemporaryDirectory(prefix="win-", dir="/tmp") as name, Crowd() as crowd:
        rounds = Rounds(crowd, Path(name), chance)
        ways: tuple[Callable[[Plan], tuple[list[Report], int]], ...] = (
            rounds.verdicts,
            rounds.set_back,
            rounds.put_forward,
            rounds.restarted,
            rounds.lost,
            rounds.failed_over,
        )
        while time.monotonic() < until:
            for way in ways:
                plan = plan_of(chance)
                try:
                    judge(tallies[way.__name__], *_of(way, plan))
                except AssertionError as error:
                    tallies[way.__name__].broken.append(f"{way.__name__}, {plan!r}: {error}")
    show(tallies)
    return int(any(tally.broken for tally in tallies.values()))


def _of(way: Callable[[Plan], tuple[list[Report], int]], plan: Plan) -> tuple[list[Report], Plan, int]:
    reports, bound = way(plan)
    return reports, plan, bound


if __name__ == "__main__":
    sys.exit(main())
