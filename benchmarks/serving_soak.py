"""Ten minutes at a stretch: does memory grow, do connections or files stay open, does it become slower?

    python benchmarks/serving_soak.py                    ten minutes at 60 % of the peak
    python benchmarks/serving_soak.py --quick            one minute and a half: no judgement, a look whether it runs
    python benchmarks/serving_soak.py --minutes 60 --look
    python benchmarks/serving_soak.py --no-write         leaves docs/performance.md as it is

The gateway is ``cordon serve`` as it is set by default, in front of the null model: so most requests a minute go
through it. What is sent in turn: a JPEG, a large JPEG, a DICOM file of one frame and one of several, a damaged file
(refused, 4xx) and a caller without a key (401). Memory is the RSS of all processes of a server; its slope is fitted
(least squares) to all that was noted after the first fifth, in which caches fill.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np

from benchmarks.serving import plots
from benchmarks.serving.load import Generator, Phase, Target
from benchmarks.serving.pictures import pictures
from benchmarks.serving.report import Report, arguments, milliseconds, progress
from benchmarks.serving.stack import NULL, Serving
from benchmarks.serving.stats import OK, Memory, Summary, family, slope, summarize
from gateway.embedded.samples import multi_frame, single_frame

if TYPE_CHECKING:
    import argparse

    from matplotlib.figure import Figure

    from benchmarks.serving.rig import Party

SHARE = 0.6
JUDGED_SECONDS = 300.0
"""A shorter run says nothing of a slope."""
STRETCH = 30.0
"""Seconds of one row, and of one seed."""
SETTLING = 0.2
STRANGE = frozenset({0, 500, 502, 504})
"""No caller's mistake and no shedding; 0: no answer."""
GOAL = 1.0
"""MiB a minute. Less cannot be told from the allocator's habits within ten minutes."""


@dataclass(slots=True)
class Soaked:
    """What was noted.

    Attributes:
        summaries: One a stretch.
        ends: When each ended, seconds.
        files: Open files and connections of the gateway's processes at each end.
        memories: By server.
    """

    summaries: list[Summary] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    memories: dict[str, Memory] = field(default_factory=dict)

    def slope(self, server: str) -> float:
        """MiB a minute, after the caches have filled."""
        memory = self.memories[server]
        settled = SETTLING * memory.seconds[-1]
        pairs = [(at, held) for at, held in zip(memory.seconds, memory.bytes, strict=True) if at >= settled]
        return 60 * slope([at for at, _ in pairs], [held / 2**20 for _, held in pairs])


def asked(gateway: Party, serving: Serving) -> Target:
    """All that is sent, in turn."""
    gateway = replace(gateway, name="mixed", path=f"{gateway.path}?model={NULL}")
    first = gateway.target(serving.picture)
    large = pictures(serving.folder)[0]
    damaged = replace(serving.picture, data=serving.picture.data[: len(serving.picture.data) // 3])
    stranger = replace(gateway, headers={})
    others = [
        gateway.target(large).request,
        *(_raw(gateway, sample.data) for sample in (single_frame(), multi_frame())),
        gateway.target(damaged).request,
        stranger.target(serving.picture).request,
    ]
    return replace(first, others=tuple(others))


def _raw(gateway: Party, data: bytes) -> bytes:
    lines = {
        "Host": "gateway",
        "Content-Type": "application/dicom",
        "Content-Length": str(len(data)),
        **gateway.headers,
    }
    head = f"POST {gateway.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{head}\r\n".encode() + data


def open_files(pid: int) -> int:
    return sum(process.num_fds() for process in family(pid))


def soak(generator: Generator, serving: Serving, choice: argparse.Namespace) -> Soaked:
    gateway = serving.gateway(look=choice.look)
    target = asked(gateway, serving)
    generator.closed(target, 8, 3.0)  # to warm up
    # Who has no key is sent away for longer than this loop: it is asked without.
    closed = generator.closed(replace(target, others=target.others[:-1]), 16, 5.0)
    rate = SHARE * len(closed.status[closed.due >= 0]) / closed.seconds
    assert serving.stack.valkey is not None
    servers = {"gateway": gateway.pid, "Triton": serving.triton_pid, "Valkey": serving.stack.valkey.child.pid}
    soaked = Soaked()
    stretches = max(3, round(60 * choice.minutes / STRETCH))
    with progress() as bar:
        task = bar.add_task(f"{choice.minutes:g} minutes at {rate:.0f} a second", total=stretches)
        began = time.monotonic()
        soaked.memories = {name: Memory(pid, every=1.0) for name, pid in servers.items()}
        for memory in soaked.memories.values():
            memory.__enter__()
        try:
            for number in range(stretches):
                run = generator.open(target, (Phase(rate, STRETCH),), warm=0.0, seed=number)
                soaked.summaries.append(summarize(run))
                soaked.ends.append(time.monotonic() - began)
                soaked.files.append(open_files(gateway.pid))
                bar.advance(task)
        finally:
            for memory in soaked.memories.values():
                memory.__exit__()
    return soaked


def show(report: Report, soaked: Soaked) -> None:
    rows = []
    step = max(1, len(soaked.ends) // 10)
    for at in range(step - 1, len(soaked.ends), step):
        summary = soaked.summaries[at]
        held = (np.interp(soaked.ends[at], memory.seconds, memory.bytes) / 2**20 for memory in soaked.memories.values())
        statuses = ", ".join(
            f"{count} x {status or 'unanswered'}" for status, count in sorted(summary.statuses.items())
        )
        rows.append(
            (f"{soaked.ends[at] / 60:.1f}", f"{summary.offered:.1f}", milliseconds(summary.p50),
             milliseconds(summary.p99), *(f"{each:,.0f}" for each in held), str(soaked.files[at]), statuses)
        )  # fmt: skip
    servers = [f"{name}, MiB" for name in soaked.memories]
    columns = ("minute", "requests a second", "p50 ms", "p99 ms", *servers, "open files", "answers")
    report.table(f"Every {step * STRETCH:.0f} seconds", columns, rows)
    total = sum(summary.statuses.total() for summary in soaked.summaries)
    good = sum(summary.statuses[OK] for summary in soaked.summaries)
    counts = sum((summary.statuses for summary in soaked.summaries), Counter[int]())
    strange = ", ".join(
        f"{count} x {status or 'none'}" for status, count in sorted(counts.items()) if status in STRANGE
    )
    slopes = ", ".join(f"{name} {soaked.slope(name):+.2f}" for name in soaked.memories)
    met = "met" if soaked.slope("gateway") < GOAL else "missed"
    if soaked.ends[-1] < JUDGED_SECONDS:
        met = "too short to judge"
    report.line(
        f"{total:,} requests, {good:,} of them answered with 200, {counts[503]:,} refused for load (503); other "
        f"failures: {strange or 'none'}. Slope of memory, MiB a minute: {slopes} (goal for the gateway: under "
        f"{GOAL:g}: {met}). Open files: {soaked.files[0]} after {STRETCH:.0f} s, {soaked.files[-1]} at the end."
    )


def draw(soaked: Soaked) -> Figure:
    figure, axes = plots.panels(3, height=3.4)
    for number, (name, memory) in enumerate(soaked.memories.items()):
        minutes = np.asarray(memory.seconds) / 60
        held = np.asarray(memory.bytes) / 2**20
        colour = plots.COLOURS[number]
        axes[0].plot(minutes, held, color=colour, label=f"{name}: {soaked.slope(name):+.2f} MiB a minute")
    axes[0].set(title="memory", xlabel="minutes", ylabel="MiB")
    axes[0].set_ylim(0, 1.35 * axes[0].get_ylim()[1])
    axes[0].legend(loc="upper left")
    ends = np.asarray(soaked.ends) / 60
    for rank, number in (("p50", 2), ("p95", 0), ("p99", 1)):
        values = [getattr(summary, rank) for summary in soaked.summaries]
        axes[1].plot(ends, values, color=plots.COLOURS[number], marker=plots.MARKS[number], label=rank)
    axes[1].set(title="time to answer", xlabel="minutes", ylabel="ms")
    axes[1].set_ylim(0, None)
    axes[1].legend(loc="upper left")
    axes[2].plot(ends, soaked.files, color=plots.COLOURS[3], marker="D")
    axes[2].set(title="open files and connections of the gateway", xlabel="minutes")
    axes[2].set_ylim(0, 1.2 * max(soaked.files))
    return figure


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float, help="default 10, with --quick 1.5")
    parser.add_argument("--look", action="store_true", help="look for burned-in text in each picture")
    choice = parser.parse_args()
    choice.minutes = choice.minutes or (1.5 if choice.quick else 10.0)
    report = Report("soak", choice.docs)
    with (
        tempfile.TemporaryDirectory(prefix="srv-", dir="/tmp") as name,
        Generator() as generator,
        Serving(Path(name)) as serving,
    ):
        soaked = soak(generator, serving, choice)
    show(report, soaked)
    report.plot(draw(soaked), "soak.png", "Memory, times and open files, by the minute")
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
