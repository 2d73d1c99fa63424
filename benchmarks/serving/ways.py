"""One model, served in several ways: what is started for each, and all of them measured in turns."""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.serving.load import Generator, Phase, Run, Target
from benchmarks.serving.rig import Party
from benchmarks.serving.stack import SHIPPED, Serving
from benchmarks.serving.stats import Summary, cpu_seconds, summarize
from gateway.embedded.triton import Ports

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rich.progress import Progress

INSIDE, UNBATCHED, DIRECT, GATEWAY, LOOKING = (
    "FastAPI + ONNX Runtime",
    "Triton, no batching",
    "Triton, batching",
    "gateway + Triton",
    "gateway, looking for text",
)
WAYS = (INSIDE, UNBATCHED, DIRECT, GATEWAY)
APART_CALLERS = (8, 16, 32)


@dataclass(slots=True)
class Cost:
    """What one closed loop took: CPU seconds of the processes, answers, and batches by size."""

    gateway: float = 0.0
    triton: float = 0.0
    generator: float = 0.0
    answers: int = 0
    batches: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Measured:
    """Everything, by way: by callers or by share, one summary a round."""

    closed: dict[str, dict[int, list[Summary]]]
    opened: dict[str, dict[int, Summary]]
    costs: dict[str, dict[int, Cost]]

    def rate(self, way: str, callers: int) -> float:
        return statistics.median(each.goodput for each in self.closed[way][callers])

    def peak(self, way: str) -> tuple[float, int]:
        """Answers a second, and with how many callers."""
        return max((self.rate(way, callers), callers) for callers in self.closed[way])

    def ratio(self, callers: int, way: str = GATEWAY) -> float:
        """Of the gateway's answers a second to Triton's: the median of the rounds."""
        pairs = zip(self.closed[way][callers], self.closed[DIRECT][callers], strict=True)
        return statistics.median(ours.goodput / theirs.goodput for ours, theirs in pairs)


class Ways:
    """The ways, ready to be asked."""

    def __init__(self, serving: Serving, generator: Generator, *, all_of_them: bool = True) -> None:
        self.serving, self.generator = serving, generator
        self.gateways: dict[str, Party] = {GATEWAY: replace(serving.gateway(), name=GATEWAY)}
        self.targets: dict[str, Target] = {DIRECT: serving.triton(DIRECT, serving.model)}
        if all_of_them:
            self.gateways[LOOKING] = replace(serving.gateway(look=True), name=LOOKING)
            self.targets[INSIDE] = _inside(serving)
            self.targets[UNBATCHED] = serving.triton(UNBATCHED, f"{serving.model}_unbatched")
        for name, party in self.gateways.items():
            self.targets[name] = party.target(serving.picture)

    def closed(self, way: str, callers: int, seconds: float) -> tuple[Summary, Cost]:
        model = self.serving.model + ("_unbatched" if way == UNBATCHED else "")
        pid = self.gateways[way].pid if way in self.gateways else None

        def counted() -> Cost:
            own = cpu_seconds(pid) if pid else 0.0
            return Cost(own, cpu_seconds(self.serving.triton_pid), batches=self.serving.batches(model))

        before = counted()
        run = self.generator.closed(self.targets[way], callers, seconds)
        after = counted()
        answers = int((run.status == 200).sum())
        sizes = {size: count - before.batches.get(size, 0) for size, count in after.batches.items()}
        cost = Cost(
            after.gateway - before.gateway,
            after.triton - before.triton,
            run.cpu,
            answers,
            {size: count for size, count in sizes.items() if count},
        )
        return summarize(run), cost


def _inside(serving: Serving) -> Target:
    """The first way's server, and what to ask it."""
    port = Ports.free().http
    serving.start(
        "in-process",
        [sys.executable, "-m", "uvicorn", "--app-dir", str(Path(__file__).parent), "in_process:app",
         "--port", str(port), "--no-access-log", "--log-level", "warning"],
        port,
        {"PATH": "/usr/bin:/bin", "MODEL": str(SHIPPED / serving.model / "1" / "model.onnx")},
        ready="/openapi.json",
    )  # fmt: skip
    return Party(INSIDE, 0, port, "/predict").target(serving.picture)


def measure(
    ways: Ways, callers: Sequence[int], shares: Sequence[int], choice: argparse.Namespace, bar: Progress
) -> Measured:
    """All ways in turns, in another order each time.

    Args:
        ways: To be measured.
        callers: Of the closed loops.
        shares: Of each way's own peak, percent: the rates of the open loops.
        choice: ``rounds`` and ``seconds``.
        bar: Moves on with every run.
    """
    names = [*WAYS, LOOKING]
    measured = Measured(
        {name: defaultdict(list) for name in names}, {name: {} for name in names}, {name: {} for name in names}
    )
    task = bar.add_task("closed loop", total=choice.rounds * len(callers) * len(names))
    for name in names:
        ways.closed(name, 4, 1.0)  # to warm up
    chance = random.Random(1)
    for _ in range(choice.rounds):
        for count in callers:
            for name in chance.sample(names, len(names)):
                summary, cost = ways.closed(name, count, choice.seconds)
                measured.closed[name][count].append(summary)
                measured.costs[name][count] = _sum(measured.costs[name].get(count, Cost()), cost)
                bar.advance(task)
    task = bar.add_task("open loop", total=len(shares) * len(WAYS))
    for share in shares:
        for name in WAYS:
            phase = Phase(measured.peak(name)[0] * share / 100, 1.5 * choice.seconds)
            run: Run = ways.generator.open(ways.targets[name], (phase,), warm=0.2 * choice.seconds, seed=share)
            measured.opened[name][share] = summarize(run)
            bar.advance(task)
    return measured


def _sum(one: Cost, other: Cost) -> Cost:
    batches = {size: one.batches.get(size, 0) + other.batches.get(size, 0) for size in {*one.batches, *other.batches}}
    return Cost(
        one.gateway + other.gateway,
        one.triton + other.triton,
        one.generator + other.generator,
        one.answers + other.answers,
        batches,
    )


def measure_apart(generator: Generator, choice: argparse.Namespace, bar: Progress) -> list[float]:
    """The ratio with Triton on its own cores, a round each: of the best rates of a few numbers of callers."""
    cores = psutil.Process().cpu_affinity()
    theirs, ours = cores[: len(cores) // 2], cores[len(cores) // 2 :]
    ratios = []
    with (
        tempfile.TemporaryDirectory(prefix="srv-", dir="/tmp") as name,
        Serving(Path(name), triton_cores=theirs, gateway_cores=ours) as serving,
        generator.on(ours),
    ):
        ways = Ways(serving, generator, all_of_them=False)
        task = bar.add_task("cores apart", total=choice.rounds * len(APART_CALLERS) * 2)
        for way in (DIRECT, GATEWAY):
            ways.closed(way, 4, 1.0)
        for _ in range(choice.rounds):
            best = dict.fromkeys((DIRECT, GATEWAY), 0.0)
            for callers in APART_CALLERS:
                for way in best:
                    best[way] = max(best[way], ways.closed(way, callers, choice.seconds)[0].goodput)
                    bar.advance(task)
            ratios.append(best[GATEWAY] / best[DIRECT])
    return ratios
