"""Overload: more requests than can be served, for long and in bursts. What is refused, what the accepted ones wait.

    python benchmarks/serving_overload.py                   the shipped model and the null model, 8 minutes
    python benchmarks/serving_overload.py --quick           the shipped model alone, about 1.5 minutes
    python benchmarks/serving_overload.py --model null --seconds 20
    python benchmarks/serving_overload.py --no-write        leaves docs/performance.md as it is

The gateway is ``cordon serve`` as it is set by default, on a real Triton, Valkey and SQLite, all on this machine. First
its peak: the most answers a second in closed loops of 8, 16 and 32 callers, before and after. Then open loops (Poisson)
at shares of it: an answer's time counts from when its request was due. Goodput is answers of 200 a second. Of several
rounds the median is taken. The null model computes next to nothing: with it the gateway itself is what is overloaded.

Goals at 150 %: goodput at least 90 % of the peak, the accepted requests' p99 at most 3 times its value at 70 %, memory
flat. Exit status 1 with --strict if one is missed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np

from benchmarks.serving import plots
from benchmarks.serving.load import Generator, Phase, Run, Target
from benchmarks.serving.report import Report, arguments, milliseconds, progress
from benchmarks.serving.stack import NULL, Serving
from benchmarks.serving.stats import OK, Memory, Summary, cpu_seconds, percentile, summarize

if TYPE_CHECKING:
    import argparse

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.progress import Progress

PEAK_CALLERS = (8, 16, 32)
REFERENCE, JUDGED = 70, 150
SHARES = {True: (REFERENCE, 100, JUDGED), False: (50, REFERENCE, 90, 100, 120, JUDGED, 200)}
GOODPUT, SLOWER, GROWN = 0.90, 3.0, 0.05
"""The goals: of the peak, of p99 at 70 %, and how much memory may grow during the overload."""
BURST_SHARES = (50, 300, 50)
BIN = 0.25
NONE = "unanswered"


@dataclass(slots=True)
class Level:
    """One share of the peak in one round.

    Attributes:
        cpu: CPU seconds of the gateway, from the begin of the warm-up to the last answer.
        statuses: Of all of that time.
    """

    summary: Summary
    grown: float
    most: float
    cpu: float
    statuses: Counter[int]


@dataclass(slots=True)
class Measured:
    """One model's rounds.

    Attributes:
        closed: Callers to goodput of each closed loop.
        levels: Share to one entry a round.
        answer_cpu: CPU seconds of the gateway for one answer, in the closed loops.
        burst: The run with bursts, and its offered rate by phase.
    """

    name: str
    closed: dict[int, list[float]]
    levels: dict[int, list[Level]]
    answer_cpu: list[float]
    burst: tuple[Run, tuple[Phase, ...]] | None = None

    @property
    def peak(self) -> float:
        """The best mean: answers come in batches, so that the best of single runs would be a lucky count."""
        return max(statistics.fmean(rates) for rates in self.closed.values())

    def ratio(self, share: int) -> tuple[float, float]:
        """Goodput by the peak, and p99 by that at 70 %: the medians of the rounds."""
        pairs = list(zip(self.levels[share], self.levels[REFERENCE], strict=True))
        goodput = statistics.median(level.summary.goodput for level, _ in pairs) / self.peak
        slower = statistics.median(level.summary.p99 / calm.summary.p99 for level, calm in pairs)
        return goodput, slower

    def refusal_cpu(self) -> float:
        """CPU seconds of the gateway for one refusal: what the overloaded runs took besides their answers."""
        levels = [level for share, each in self.levels.items() if share > 100 for level in each]
        refused = sum(level.statuses[429] + level.statuses[503] for level in levels)
        answered = sum(level.statuses.total() for level in levels) - refused
        spent = sum(level.cpu for level in levels)
        return (spent - statistics.median(self.answer_cpu) * answered) / refused if refused else float("nan")


def measure(generator: Generator, target: Target, pid: int, choice: argparse.Namespace, bar: Progress) -> Measured:
    shares = SHARES[choice.quick]
    measured = Measured(target.name, {callers: [] for callers in PEAK_CALLERS}, {share: [] for share in shares}, [])
    steps = choice.rounds * (len(PEAK_CALLERS) + len(shares) + 1) + 1
    task = bar.add_task(target.name, total=steps)
    generator.closed(target, 8, 2.0)  # to warm up

    def closed(callers: int) -> None:
        before = cpu_seconds(pid)
        run = generator.closed(target, callers, choice.seconds / 2)
        if not (run.status != OK).any():
            measured.answer_cpu.append((cpu_seconds(pid) - before) / len(run.status))
        measured.closed[callers].append(summarize(run).goodput)
        bar.advance(task)

    for turn in range(choice.rounds):
        for callers in PEAK_CALLERS:
            closed(callers)
        peak = measured.peak
        for share in shares:
            before = cpu_seconds(pid)
            with Memory(pid) as memory:
                run = generator.open(
                    target,
                    (Phase(peak * share / 100, choice.seconds),),
                    warm=choice.seconds / 5,
                    seed=100 * turn + share,
                )
            held = np.array(memory.bytes, float)
            half = len(held) // 2
            grown = float(np.median(held[half:]) / np.median(held[: half or 1]) - 1)
            measured.levels[share].append(
                Level(
                    summarize(run),
                    grown,
                    float(held.max()),
                    cpu_seconds(pid) - before,
                    Counter(run.status.tolist()),
                )
            )
            bar.advance(task)
        closed(PEAK_CALLERS[1])
    peak = measured.peak
    phases = tuple(Phase(peak * share / 100, choice.seconds / 2) for share in BURST_SHARES)
    measured.burst = generator.open(target, phases, warm=1.0, seed=7), phases
    bar.advance(task)
    return measured


def show(report: Report, measured: Measured) -> bool:
    """Whether the goals are met."""
    rows = []
    for share, levels in measured.levels.items():
        middle = sorted(levels, key=lambda level: level.summary.goodput)[len(levels) // 2]
        summary = middle.summary
        goodput, slower = measured.ratio(share)
        refused = sum(count for status, count in summary.statuses.items() if status in {429, 503})
        total = summary.statuses.total()
        rows.append(
            (
                f"{share} %", f"{summary.offered:.1f}", f"{summary.goodput:.1f}", f"{100 * goodput:.0f} %",
                milliseconds(summary.p50), milliseconds(summary.p99), f"{slower:.2f} x",
                f"{100 * refused / total:.0f} %", milliseconds(summary.refused99),
                str(summary.unnamed), _others(summary), f"{100 * middle.grown:+.1f} %",
            )
        )  # fmt: skip
    columns = ("offered", "a second", "goodput", "of the peak", "p50 ms", "p99 ms", f"p99 by that at {REFERENCE} %",
               "refused", "refused p99 ms", "without Retry-After", "other", "memory")  # fmt: skip
    report.table(f"{measured.name}: peak {measured.peak:.1f} a second", columns, rows)
    goodput, slower = measured.ratio(JUDGED)
    grown = statistics.median(level.grown for level in measured.levels[JUDGED])
    met = goodput >= GOODPUT, slower <= SLOWER, grown <= GROWN
    said = ["met" if each else "missed" for each in met]
    most = max(level.most for levels in measured.levels.values() for level in levels)
    late = max(level.summary.late for levels in measured.levels.values() for level in levels)
    cpu = max(level.summary.cpu for levels in measured.levels.values() for level in levels)
    report.line(
        f"At {JUDGED} %: goodput {100 * goodput:.0f} % of the peak (goal 90 %: {said[0]}); accepted p99 {slower:.2f} "
        f"times that at {REFERENCE} % (goal 3: {said[1]}); memory, second half by first, {100 * grown:+.1f} % (goal: "
        f"under 5 %: {said[2]}), at most {most / 2**20:.0f} MiB. The generator took at most {100 * cpu:.1f} % of "
        f"a core and sent its requests at most {late:.1f} ms late (p99)."
    )
    if NULL in measured.name and measured.answer_cpu:  # where a request costs little else
        answer, refusal = 1e3 * statistics.median(measured.answer_cpu), 1e3 * measured.refusal_cpu()
        report.line(
            f"CPU of the gateway: {answer:.1f} ms an answer, {refusal:.2f} ms a refusal "
            f"({100 * refusal / answer:.0f} %). Where the gateway itself is the limit, half as much again as it can "
            f"do, refused at that price, leaves {100 * (1 - 0.5 * refusal / answer):.0f} % for answers."
        )
    if measured.burst is not None:
        report.line(_burst_line(*measured.burst))
    return all(met)


def _others(summary: Summary) -> str:
    found = sorted((status, count) for status, count in summary.statuses.items() if status not in {OK, 429, 503})
    return ", ".join(f"{count} x {status or NONE}" for status, count in found) or "0"


def _burst_line(run: Run, phases: tuple[Phase, ...]) -> str:
    begin = phases[0].seconds
    end = begin + phases[1].seconds
    good = run.status == OK
    before, during = good & (run.due >= 0) & (run.due < begin), (run.due >= begin) & (run.due < end)
    after = good & (run.due >= end + 1.0)
    refused_after = (run.due >= end + 1.0) & ~good
    return (
        f"A burst from {BURST_SHARES[0]} % to {BURST_SHARES[1]} % for {phases[1].seconds:.0f} s: accepted p99 "
        f"{milliseconds(percentile(1e3 * run.took[before], 99))} ms before, "
        f"{milliseconds(percentile(1e3 * run.took[during & good], 99))} ms in it, "
        f"{milliseconds(percentile(1e3 * run.took[after], 99))} ms from one second after its end; "
        f"refused in it {100 * (1 - good[during].mean()):.0f} %, afterwards {int(refused_after.sum())}."
    )


def draw(all_of_them: list[Measured]) -> Figure:
    figure, axes = plots.panels(3 * len(all_of_them), rows=len(all_of_them))
    for number, measured in enumerate(all_of_them):
        rate, times, burst = axes[3 * number : 3 * number + 3]
        shares = list(measured.levels)
        goodput = [100 * measured.ratio(share)[0] for share in shares]
        rate.plot(shares, [min(share, 100) for share in shares], **plots.GOAL, label="ideal")
        rate.plot(shares, goodput, "o-", color=plots.COLOURS[0], label="goodput")
        rate.plot(shares, [min(share, 90) for share in shares], color="#bbbbbb", linestyle=":", label="goal: 90 %")
        at = shares.index(JUDGED)
        plots.note(rate, JUDGED, goodput[at], f"{goodput[at]:.0f} %")
        rate.set(title=f"{measured.name}: goodput", xlabel="offered, % of the peak", ylabel="% of the peak")
        rate.set_ylim(0, 125)
        rate.legend(loc="lower right")
        calm = statistics.median(level.summary.p99 for level in measured.levels[REFERENCE])
        for rank, colour, mark in (("p50", plots.COLOURS[2], "s"), ("p99", plots.COLOURS[1], "o")):
            values = [
                statistics.median(getattr(level.summary, rank) for level in measured.levels[share]) for share in shares
            ]
            times.plot(shares, values, marker=mark, color=colour, label=f"accepted, {rank}")
            if rank == "p99":
                plots.note(times, JUDGED, values[at], f"{measured.ratio(JUDGED)[1]:.2f} x")
        plots.goal(times, SLOWER * calm, "3 times p99 at 70 %")
        times.set(title="time to answer", xlabel="offered, % of the peak", ylabel="ms")
        times.set_ylim(0, 1.15 * times.get_ylim()[1])
        times.legend(loc="upper left")
        _draw_burst(burst, measured)
    return figure


def _draw_burst(axis: Axes, measured: Measured) -> None:
    assert measured.burst is not None
    run, phases = measured.burst
    edges = np.arange(0, run.seconds, BIN)
    good = run.status == OK
    for values, label, colour in (
        (run.due, "offered", "#999999"),
        ((run.due + run.took)[good], "answered", plots.COLOURS[0]),
        ((run.due + run.took)[~good], "refused", plots.COLOURS[1]),
    ):
        axis.step(edges[:-1], np.histogram(values, edges)[0] / BIN, where="post", label=label, color=colour)
    axis.axvspan(phases[0].seconds, phases[0].seconds + phases[1].seconds, color="#f4efe2", zorder=0)
    axis.set(title=f"a burst of {BURST_SHARES[1]} %", xlabel="seconds", ylabel="a second")
    axis.legend(loc="upper right")


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument(
        "--model", choices=["shipped", NULL, "both"], help="default: both, with --quick the shipped one"
    )
    parser.add_argument("--seconds", type=float, help="length of one run; default 10, with --quick 8")
    parser.add_argument("--rounds", type=int, help="default 2, with --quick 1")
    parser.add_argument("--workers", type=int, default=1, help="HTTP_WORKERS of the gateway")
    parser.add_argument("--strict", action="store_true", help="exit status 1 if a goal is missed")
    choice = parser.parse_args()
    choice.model = choice.model or ("shipped" if choice.quick else "both")
    choice.seconds = choice.seconds or (8.0 if choice.quick else 10.0)
    choice.rounds = choice.rounds or (1 if choice.quick else 2)
    report = Report("overload", choice.docs)
    measured = []
    with (
        tempfile.TemporaryDirectory(prefix="srv-", dir="/tmp") as name,
        Generator() as generator,
        Serving(Path(name)) as serving,
        progress() as bar,
    ):
        gateway = serving.gateway(HTTP_WORKERS=str(choice.workers))
        asked = {"shipped": ("the shipped model", ""), NULL: ("the null model", f"?model={NULL}")}
        for model in asked if choice.model == "both" else [choice.model]:
            title, query = asked[model]
            target = replace(gateway, name=title, path=gateway.path + query).target(serving.picture)
            measured.append(measure(generator, target, gateway.pid, choice, bar))
    met = [show(report, each) for each in measured]
    report.plot(draw(measured), "overload.png", "Goodput, times and a burst, by offered load")
    report.write()
    return int(choice.strict and not all(met))


if __name__ == "__main__":
    sys.exit(main())
