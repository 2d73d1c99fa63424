"""One model served four ways: FastAPI with ONNX Runtime in it, Triton without and with its batcher, the gateway.

    python benchmarks/serving_ways.py              everything, about 8 minutes
    python benchmarks/serving_ways.py --quick      four numbers of callers and three rates, about 2 minutes
    python benchmarks/serving_ways.py --rounds 4 --seconds 8
    python benchmarks/serving_ways.py --no-write   leaves docs/performance.md as it is

Closed loop at 1 to 64 callers, then open loop (Poisson) at 50 to 120 % of each way's own capacity. All ways take turns
within seconds. Triton is given finished tensors (uint8, 224 x 224) by HTTP; the other two are given a JPEG of 512 by
512, which they decode and resize. Batch sizes are Triton's own statistics. A fifth row is the gateway with its look for
burned-in text. At the end the same ratio once more with Triton on cores of its own, as behind a GPU: what is left of it
then is not a matter of cores that are shared.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import psutil

from benchmarks.serving import plots
from benchmarks.serving.load import Generator
from benchmarks.serving.report import Report, arguments, milliseconds, progress
from benchmarks.serving.stack import Serving
from benchmarks.serving.ways import DIRECT, GATEWAY, LOOKING, UNBATCHED, WAYS, Measured, Ways, measure, measure_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CALLERS = {True: (1, 4, 16, 64), False: (1, 2, 4, 8, 16, 32, 64)}
SHARES = {True: (50, 100, 120), False: (50, 70, 90, 100, 110, 120)}
GOAL = 0.95
HISTOGRAM_CALLERS = 16


def show(report: Report, measured: Measured, apart: list[float]) -> None:
    callers = list(measured.closed[DIRECT])
    columns = ("closed loop, answers a second (p99 ms)", *(str(count) for count in callers))
    rows = []
    for way, by_callers in measured.closed.items():
        cells = (
            f"{measured.rate(way, count):.1f} ({milliseconds(statistics.median(each.p99 for each in runs))})"
            for count, runs in by_callers.items()
        )
        rows.append((way, *cells))
    rows += [
        (f"{way} / {DIRECT}", *(f"{100 * measured.ratio(count, way):.0f} %" for count in callers))
        for way in (GATEWAY, LOOKING)
    ]
    report.table("Callers, each with one request at a time", columns, rows)
    _show_open(report, measured)
    _show_batches(report, measured)
    _show_costs(report, measured, apart)


def _show_open(report: Report, measured: Measured) -> None:
    shares = list(measured.opened[DIRECT])
    rows = []
    for way in WAYS:
        cells = []
        for summary in measured.opened[way].values():
            kept = summary.goodput / measured.peak(way)[0]
            times = " / ".join(milliseconds(each) for each in (summary.p50, summary.p95, summary.p99))
            cells.append(f"{100 * kept:.0f} %: {times}")
        rows.append((f"{way} ({measured.peak(way)[0]:.1f} a second)", *cells))
    columns = ("open loop, goodput: p50 / p95 / p99 ms", *(f"{share} %" for share in shares))
    report.table("Requests that do not wait for each other, at shares of each way's own peak", columns, rows)


def _show_batches(report: Report, measured: Measured) -> None:
    rows = []
    for way in (UNBATCHED, DIRECT, GATEWAY):
        cells = []
        for cost in measured.costs[way].values():
            images = sum(size * count for size, count in cost.batches.items())
            batches = sum(cost.batches.values())
            cells.append(f"{images / batches:.2f}" if batches else "-")
        rows.append((way, *cells))
    columns = ("mean batch size, by callers", *(str(count) for count in measured.costs[DIRECT]))
    report.table("Batches, by Triton's statistics", columns, rows)


def _show_costs(report: Report, measured: Measured, apart: list[float]) -> None:
    _, callers = measured.peak(GATEWAY)
    cost = measured.costs[GATEWAY][callers]
    ours, theirs = 1e3 * cost.gateway / cost.answers, 1e3 * cost.triton / cost.answers
    ratio = measured.ratio(callers)
    best = measured.peak(GATEWAY)[0] / measured.peak(DIRECT)[0]
    report.line(
        f"The gateway's best rate is {100 * best:.0f} % of Triton's own best rate ({100 * ratio:.0f} % of its rate "
        f"with the same {callers} callers). There a request costs {ours:.1f} ms of CPU in the gateway, {theirs:.1f} ms "
        f"in Triton and {1e3 * cost.generator / cost.answers:.2f} ms in the generator: on cores that are all busy and "
        f"shared, that alone leaves at most {100 * theirs / (theirs + ours):.0f} %."
    )
    if apart:
        median = statistics.median(apart)
        said = "met" if median >= GOAL else "missed"
        report.line(
            f"With Triton on half of the cores and the gateway on the other half, so that neither takes time from the "
            f"other, it is {100 * median:.1f} % ({', '.join(f'{100 * each:.1f}' for each in apart)}; "
            f"goal {100 * GOAL:.0f} %: {said})."
        )


def draw(measured: Measured) -> Figure:
    figure, axes = plots.panels(6, rows=2)
    callers = list(measured.closed[DIRECT])
    for number, way in enumerate((*WAYS, LOOKING)):
        look = {"color": plots.COLOURS[number], "marker": plots.MARKS[number], "label": way}
        axes[0].plot(callers, [measured.rate(way, count) for count in callers], **look)
        times = [statistics.median(each.p99 for each in measured.closed[way][count]) for count in callers]
        axes[1].plot(callers, times, **look)
        if way in WAYS:
            shares = list(measured.opened[way])
            opened = measured.opened[way]
            axes[3].plot(shares, [opened[share].p99 for share in shares], **look)
            axes[4].plot(shares, [100 * opened[share].goodput / measured.peak(way)[0] for share in shares], **look)
    for axis in axes[:3]:
        plots.callers_axis(axis, callers)
    axes[0].set(title="closed loop: throughput", ylabel="answers a second")
    axes[0].set_ylim(0, 1.45 * axes[0].get_ylim()[1])
    axes[0].legend(loc="upper left", ncols=1)
    axes[1].set(title="closed loop: p99", ylabel="ms")
    plots.log_axis(axes[1])
    _draw_ratio(axes[2], measured, callers)
    for axis in axes[3:5]:
        axis.set_xlabel("offered, % of each way's own peak")
    axes[3].set(title="open loop: p99", ylabel="ms")
    plots.log_axis(axes[3])
    axes[4].plot(shares, [min(share, 100) for share in shares], **plots.GOAL)
    axes[4].set(title="open loop: goodput", ylabel="% of the peak")
    _draw_batches(axes[5], measured)
    return figure


def _draw_ratio(axis: Axes, measured: Measured, callers: list[int]) -> None:
    for way, colour, mark in ((GATEWAY, plots.COLOURS[3], "D"), (LOOKING, plots.COLOURS[4], "v")):
        ratios = [100 * measured.ratio(count, way) for count in callers]
        axis.plot(callers, ratios, color=colour, marker=mark, label=way)
        for count, ratio in zip(callers, ratios, strict=True):
            plots.note(axis, count, ratio, f"{ratio:.0f}")
    plots.goal(axis, 100 * GOAL, f"goal {100 * GOAL:.0f} %")
    axis.set(title="gateway by Triton driven directly", ylabel="% of its throughput")
    axis.set_ylim(0, 120)
    axis.legend(loc="lower right")


def _draw_batches(axis: Axes, measured: Measured) -> None:
    sizes = range(1, 17)
    for number, (way, colour) in enumerate(((DIRECT, plots.COLOURS[2]), (GATEWAY, plots.COLOURS[3]))):
        batches = measured.costs[way][HISTOGRAM_CALLERS].batches
        total = max(1, sum(batches.values()))
        shares = [100 * batches.get(size, 0) / total for size in sizes]
        axis.bar([size + 0.4 * number - 0.2 for size in sizes], shares, width=0.4, color=colour, label=way)
    axis.set(title=f"batch sizes at {HISTOGRAM_CALLERS} callers", xlabel="images in a batch", ylabel="% of the batches")
    axis.set_xticks([1, 4, 8, 12, 16])
    axis.legend(loc="upper center")


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, help="of the closed loops; default 2, with --quick 1")
    parser.add_argument("--seconds", type=float, help="length of one run; default 3, with --quick 2")
    choice = parser.parse_args()
    choice.rounds = choice.rounds or (1 if choice.quick else 2)
    choice.seconds = choice.seconds or (2.0 if choice.quick else 3.0)
    report = Report("ways", choice.docs)
    with Generator() as generator, progress() as bar:
        with tempfile.TemporaryDirectory(prefix="srv-", dir="/tmp") as name, Serving(Path(name)) as serving:
            ways = Ways(serving, generator)
            measured = measure(ways, CALLERS[choice.quick], SHARES[choice.quick], choice, bar)
        cores = len(psutil.Process().cpu_affinity())
        apart = measure_apart(generator, choice, bar) if cores > 1 else []
    show(report, measured, apart)
    report.plot(draw(measured), "ways.png", "Throughput and times of four ways to serve one model, and batch sizes")
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
