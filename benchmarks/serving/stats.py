"""What is made of the figures: percentiles, goodput, memory's slope; CPU seconds and memory of processes."""

from __future__ import annotations

import contextlib
import platform
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from benchmarks.serving.load import Run

OK = 200


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in a few figures. Times are milliseconds, of answered requests (200) alone.

    Attributes:
        offered: Requests a second that were due.
        goodput: Answers of 200 a second that came while requests were sent.
        p50: Median time from due to answered.
        p95: The same, 95th percentile.
        p99: The same, 99th percentile.
        refused99: 99th percentile of the time to a refusal (429, 503): shed early, or late.
        late: 99th percentile of how late the generator sent; of the times above it is a part.
        statuses: How many answers of each status; 0: none.
        unnamed: Refusals (429, 503) that did not say when to come again.
        cpu: CPU seconds of the generator a second.
    """

    target: str
    offered: float
    goodput: float
    p50: float
    p95: float
    p99: float
    refused99: float
    late: float
    statuses: Counter[int]
    unnamed: int
    cpu: float


def summarize(run: Run) -> Summary:
    """The figures of a run, without its warm-up."""
    counted = run.due >= 0
    ended = run.due + run.took
    good = run.status == OK
    inside = (ended >= 0) & (ended <= run.seconds)
    took = 1e3 * run.took[good & counted]
    refused = counted & ((run.status == 429) | (run.status == 503))
    return Summary(
        target=run.target,
        offered=float(counted.sum() / run.seconds),
        goodput=float((good & inside).sum() / run.seconds),
        p50=percentile(took, 50),
        p95=percentile(took, 95),
        p99=percentile(took, 99),
        refused99=percentile(1e3 * run.took[refused], 99),
        late=percentile(1e3 * run.late[counted], 99),
        statuses=Counter(run.status[counted].tolist()),
        unnamed=int((refused & ~run.named_wait).sum()),
        cpu=float(run.cpu / max(run.seconds, 1e-9)),
    )


def percentile(values: npt.NDArray[np.float64], rank: float) -> float:
    """NaN of none."""
    return float(np.percentile(values, rank)) if len(values) else float("nan")


def slope(seconds: Sequence[float], values: Sequence[float]) -> float:
    """Least squares, values a second."""
    return float(np.polyfit(np.asarray(seconds), np.asarray(values), 1)[0]) if len(seconds) > 1 else float("nan")


def family(pid: int) -> Iterator[psutil.Process]:
    """A process and all below it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        yield top
        yield from top.children(recursive=True)


def cpu_seconds(*pids: int) -> float:
    """User and system time of processes and all below them, those that ended included."""
    total = 0.0
    for pid in pids:
        for process in family(pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def memory(*pids: int) -> int:
    """Bytes that processes and all below them hold: the sum of their RSS, so shared pages count once for each."""
    total = 0
    for pid in pids:
        for process in family(pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


class Memory(threading.Thread):
    """The memory of processes, noted while it is entered.

    Attributes:
        seconds: When, from the start.
        bytes: How much.
    """

    def __init__(self, *pids: int, every: float = 0.25) -> None:
        super().__init__(daemon=True)
        self._pids = pids
        self._every = every
        self._ended = threading.Event()
        self._began = time.monotonic()
        self.seconds: list[float] = []
        self.bytes: list[int] = []

    def __enter__(self) -> Self:
        self._note()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()
        self._note()

    def run(self) -> None:
        while not self._ended.wait(self._every):
            self._note()

    def _note(self) -> None:
        self.seconds.append(time.monotonic() - self._began)
        self.bytes.append(memory(*self._pids))


def machine() -> str:
    """The processor's name and how many cores this process may use."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    cores = len(psutil.Process().cpu_affinity())
    gigabytes = psutil.virtual_memory().total / 2**30
    return f"{name}, {cores} core{'s' if cores != 1 else ''}, {gigabytes:.0f} GiB"
