"""The limiter's promise for as long as you like: eight processes, and all that can happen to a Redis.

    python benchmarks/windows.py [--minutes 2] [--seed 0]

Each round is one of the ways below, with windows, costs and times drawn anew. What was let in within any true window,
by the machine's monotonic clock, is held against the limit; so is what ran at once. In rounds of verdicts each answer
of the script, the room left and the time until more comes back included, is held against an exact model.

    python benchmarks/windows.py --minutes 10 --only everything    clock steps, losses and restarts, at random
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
from rich.progress import Progress
from rich.table import Table

from gateway.admission.plans import Plan, Window
from tests.support.clock import Clock
from tests.support.crowd import Crowd, Task
from tests.support.valkey_cluster import Cluster, Node, Watched, free_ports, wait_for
from tests.support.window_model import hold_exact, hold_running, hold_true, most_in_any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.crowd import Report

SECONDS = 5.0
KEY_OF_FIRST = "key_b"  # in the first third of the slots
LOSES = ("--save", "", "--appendonly", "no")


@dataclass(slots=True)
class Tally:
    """Of one way."""

    rounds: int = 0
    admitted: int = 0
    unavailable: int = 0
    worst: float = 0.0
    broken: list[str] = field(default_factory=list)


class Rounds:
    """What can be done to a Redis. Each returns what was let in."""

    def __init__(self, crowd: Crowd, folder: Path, chance: random.Random) -> None:
        self._crowd = crowd
        self._folder = folder
        self._chance = chance
        self._clock = Clock(folder)
        self._number = 0

    def verdicts(self, plan: Plan) -> list[Report]:
        """Nothing is done, and each answer is held against the model."""
        plan = plan.model_copy(update={"concurrency": None})
        node = self._server(*LOSES)
        try:
            reports = self._crowd.run(Task(node.url, plan, SECONDS, whole=False))
        finally:
            node.stop()
        hold_exact([verdict for report in reports for verdict in report.verdicts], plan)
        return reports

    def set_back(self, plan: Plan) -> list[Report]:
        """Several times, by milliseconds to days."""
        return self._disturbed(plan, LOSES, (self._back,))

    def put_forward(self, plan: Plan) -> list[Report]:
        """Several times, by milliseconds to days."""
        return self._disturbed(plan, LOSES, (self._forward,))

    def restarted(self, plan: Plan) -> list[Report]:
        """One that keeps what it answers."""
        return self._disturbed(plan, ("--appendonly", "yes", "--appendfsync", "always"), (self._restart,))

    def restarted_empty(self, plan: Plan) -> list[Report]:
        """One that keeps nothing."""
        return self._disturbed(plan, LOSES, (self._restart,))

    def flushed(self, plan: Plan) -> list[Report]:
        """By hand."""
        return self._disturbed(plan, LOSES, (self._flush,))

    def everything(self, plan: Plan) -> list[Report]:
        """At random."""
        return self._disturbed(plan, LOSES, (self._back, self._forward, self._restart, self._flush))

    def failed_over(self, plan: Plan) -> list[Report]:
        """In the midst of it, to a replica that has heard nearly all, or of no window."""
        self._number += 1
        watched = Watched(self._folder / str(self._number))
        try:
            self._crowd.begin(Task(watched.url, plan, 2 * SECONDS + 3))
            time.sleep(self._chance.uniform(0.5, 1.5))
            watched.fail_over(heard=self._chance.random() < 0.5)
            return self._crowd.reports()
        finally:
            watched.stop()

    def cluster_failed_over(self, plan: Plan) -> list[Report]:
        """The master of the caller's slot, to a replica that has heard of no window."""
        self._number += 1
        cluster = Cluster(self._folder / str(self._number), replica=True)
        try:
            self._crowd.begin(Task(cluster.url, plan, 2 * SECONDS + 3, key_id=KEY_OF_FIRST))
            time.sleep(self._chance.uniform(0.5, 1.5))
            cluster.fail_over()
            return self._crowd.reports()
        finally:
            cluster.stop()

    def _server(self, *options: str) -> Node:
        self._number += 1
        (port,) = free_ports(1)
        folder = self._folder / str(self._number)
        node = Node(folder, port, *options, environment=self._clock.environment)
        wait_for(node.answers)
        return node

    def _disturbed(
        self, plan: Plan, options: tuple[str, ...], ways: tuple[Callable[[Node], None], ...]
    ) -> list[Report]:
        node = self._server(*options)
        try:
            self._crowd.begin(Task(node.url, plan, SECONDS))
            for _ in range(self._chance.randint(1, 5)):
                time.sleep(self._chance.uniform(0.1, 1.2))
                self._chance.choice(ways)(node)
            return self._crowd.reports()
        finally:
            node.stop()

    def _back(self, _node: Node) -> None:
        self._clock.step(-(10 ** self._chance.uniform(-3, 5.5)))

    def _forward(self, _node: Node) -> None:
        self._clock.step(10 ** self._chance.uniform(-3, 5.5))

    def _restart(self, node: Node) -> None:
        node.kill()
        node.start()

    def _flush(self, node: Node) -> None:
        with node.client() as client:
            wait_for(client.ping)
            client.flushall()


def plan_of(chance: random.Random) -> Plan:
    lengths = sorted(chance.sample((0.05, 0.1, 0.25, 0.6, 1.0, 2.0, 4.0, 60.0), chance.randint(1, 3)))
    windows = tuple(
        Window(name=f"w{number}", limit=chance.randint(3, 300), seconds=seconds)
        for number, seconds in enumerate(lengths)
    )
    return Plan(windows=windows, concurrency=chance.randint(2, 12))


def judge(tally: Tally, reports: list[Report], plan: Plan) -> None:
    verdicts = [verdict for report in reports for verdict in report.verdicts]
    tally.rounds += 1
    tally.admitted += sum(verdict.admitted for verdict in verdicts)
    tally.unavailable += sum(report.unavailable for report in reports)
    worst = max(most_in_any(verdicts, window.seconds) / window.limit for window in plan.windows)
    tally.worst = max(tally.worst, worst)
    hold_true(verdicts, plan)
    if plan.concurrency is not None:
        hold_running([held for report in reports for held in report.held], plan.concurrency)


def show(tallies: dict[str, Tally]) -> None:
    table = Table(box=None)
    for column in ("", "rounds", "let in", "503", "most in any window", "broken"):
        table.add_column(column, justify="left" if not column else "right")
    for name, tally in tallies.items():
        cells = (
            tally.rounds,
            f"{tally.admitted:,}",
            f"{tally.unavailable:,}",
            f"{tally.worst:.3f} N",
            len(tally.broken),
        )
        table.add_row(name.replace("_", " "), *(str(cell) for cell in cells))
    Console(width=110).print(table)
    for tally in tallies.values():
        for text in tally.broken:
            print(text)


WAYS = (
    "verdicts",
    "set_back",
    "put_forward",
    "restarted",
    "restarted_empty",
    "flushed",
    "failed_over",
    "cluster_failed_over",
    "everything",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, help="for how long")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    parser.add_argument("--only", choices=WAYS, nargs="+", default=WAYS, help="ways, one after the other")
    choice = parser.parse_args()
    chance, tallies = random.Random(choice.seed), defaultdict[str, Tally](Tally)
    until = time.monotonic() + 60 * choice.minutes
    with tempfile.TemporaryDirectory(prefix="win-", dir="/tmp") as name, Crowd() as crowd, Progress() as progress:
        rounds, bar = Rounds(crowd, Path(name), chance), progress.add_task("rounds", total=60 * choice.minutes)
        while time.monotonic() < until:
            for way in choice.only:
                plan = plan_of(chance)
                try:
                    judge(tallies[way], getattr(rounds, way)(plan), plan)
                except AssertionError as error:
                    tallies[way].broken.append(f"{way}, {plan!r}: {error}")
                progress.update(bar, completed=60 * choice.minutes - (until - time.monotonic()))
    show(tallies)
    return int(any(tally.broken for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
