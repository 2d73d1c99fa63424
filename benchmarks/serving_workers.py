"""How many processes: gateway processes (HTTP_WORKERS), and processes each that decode (INGEST_WORKER_PROCESSES).

    python benchmarks/serving_workers.py              three loads, five shapes; about 3 minutes
    python benchmarks/serving_workers.py --quick      about 1.5 minutes
    python benchmarks/serving_workers.py --shapes 1x1 1x2 2x2 --callers 32
    python benchmarks/serving_workers.py --no-write   leaves docs/performance.md as it is

A shape 2x1 is two gateway processes with one decoding process each. All shapes are up at once, on one Triton and one
Valkey, and take turns within seconds; one that nobody asks costs nothing. The null model shows what the gateway alone
can do, the shipped one what is left when the model wants the same cores, and the look for burned-in text is the
heaviest work that decoding processes do. Ratios are to the first shape, of the same round.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.serving import plots
from benchmarks.serving.load import Generator
from benchmarks.serving.report import Report, arguments, milliseconds, progress
from benchmarks.serving.stack import NULL, Serving
from benchmarks.serving.stats import Summary, cpu_seconds, memory, summarize

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from matplotlib.figure import Figure
    from rich.progress import Progress

    from benchmarks.serving.rig import Party

SHAPES = {True: ("1x1", "1x2", "2x1"), False: ("1x1", "1x2", "2x1", "2x2", "4x1")}
LOADS = {
    "null model": (f"?model={NULL}", False),
    "shipped model": ("", False),
    "looking for text": ("?model=null", True),
}
"""Query, and whether text is looked for."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One shape under one load, once."""

    summary: Summary
    cpu: float


def measure(
    gateways: dict[tuple[str, bool], Party],
    ask: Callable[[Party, str], tuple[Summary, float]],
    choice: argparse.Namespace,
    bar: Progress,
) -> dict[str, dict[str, list[Turn]]]:
    found: dict[str, dict[str, list[Turn]]] = {load: defaultdict(list) for load in LOADS}
    task = bar.add_task("shapes in turns", total=choice.rounds * len(LOADS) * len(choice.shapes))
    for _ in range(choice.rounds):
        for load, (query, look) in LOADS.items():
            for shape in choice.shapes:
                found[load][shape].append(Turn(*ask(gateways[shape, look], query)))
                bar.advance(task)
    return found


def show(report: Report, found: dict[str, dict[str, list[Turn]]], held: dict[str, int]) -> None:
    shapes = list(held)
    for load, by_shape in found.items():
        rows = []
        for shape, turns in by_shape.items():
            rate = statistics.median(turn.summary.goodput for turn in turns)
            ratio = statistics.median(
                turn.summary.goodput / first.summary.goodput
                for turn, first in zip(turns, by_shape[shapes[0]], strict=True)
            )
            p50, p99 = (statistics.median(getattr(turn.summary, rank) for turn in turns) for rank in ("p50", "p99"))
            cpu = statistics.median(turn.cpu for turn in turns)
            rows.append(
                (shape, f"{rate:.1f}", f"{ratio:.2f} x", milliseconds(p50), milliseconds(p99), f"{cpu:.1f}",
                 f"{held[shape] / 2**20:,.0f}")
            )  # fmt: skip
        columns = ("gateway x decoding processes", "answers a second", "by the first", "p50 ms", "p99 ms",
                   "CPU ms a request", "MiB idle")  # fmt: skip
        report.table(load.capitalize(), columns, rows)


def draw(found: dict[str, dict[str, list[Turn]]]) -> Figure:
    figure, axes = plots.panels(len(found), height=3.4)
    for axis, (load, by_shape), colour in zip(axes, found.items(), plots.COLOURS, strict=False):
        rates = [statistics.median(turn.summary.goodput for turn in turns) for turns in by_shape.values()]
        axis.bar(list(by_shape), rates, color=colour, width=0.6)
        for number, rate in enumerate(rates):
            plots.note(axis, number, rate, f"{rate / rates[0]:.2f} x" if rates[0] else "-")
        axis.set(title=load, ylabel="answers a second", xlabel="gateway x decoding processes")
        axis.set_ylim(0, 1.15 * max(*rates, 1e-9))
        axis.grid(visible=False, axis="x")
    return figure


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--shapes", nargs="+", help="default: 1x1 1x2 2x1 2x2 4x1, with --quick the first three")
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--rounds", type=int, help="default 2, with --quick 1")
    parser.add_argument("--seconds", type=float, help="length of one run; default 3, with --quick 2")
    choice = parser.parse_args()
    choice.shapes = choice.shapes or SHAPES[choice.quick]
    choice.rounds = choice.rounds or (1 if choice.quick else 2)
    choice.seconds = choice.seconds or (2.0 if choice.quick else 3.0)
    report = Report("workers", choice.docs)
    with (
        tempfile.TemporaryDirectory(prefix="srv-", dir="/tmp") as name,
        Generator() as generator,
        Serving(Path(name)) as serving,
        progress() as bar,
    ):
        task = bar.add_task("starting gateways", total=2 * len(choice.shapes))
        gateways: dict[tuple[str, bool], Party] = {}
        for shape in choice.shapes:
            workers, processes = shape.split("x")
            for look in (False, True):
                settings = {"HTTP_WORKERS": workers, "INGEST_WORKER_PROCESSES": processes}
                gateways[shape, look] = replace(serving.gateway(look=look, **settings), name=shape)
                bar.advance(task)

        def ask(gateway: Party, query: str) -> tuple[Summary, float]:
            target = replace(gateway, path=gateway.path + query).target(serving.picture)
            before = cpu_seconds(gateway.pid)
            run = generator.closed(target, choice.callers, choice.seconds)
            spent = cpu_seconds(gateway.pid) - before
            return summarize(run), 1e3 * spent / max(1, int((run.status == 200).sum()))

        held = {shape: memory(gateways[shape, True].pid) for shape in choice.shapes}
        for gateway in gateways.values():
            ask(gateway, LOADS["null model"][0])  # to warm up
        found = measure(gateways, ask, choice, bar)
    show(report, found, held)
    report.plot(draw(found), "workers.png", "Throughput by number of processes")
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
