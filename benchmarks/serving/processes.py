"""What processes cost: CPU seconds of each and of its threads, as the kernel counts them (proc(5)).

``/proc/<pid>/task/<tid>/schedstat`` counts nanoseconds of a thread that lives; ``/proc/<pid>/stat`` counts ticks of a
hundredth of a second of all threads, those that ended too.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds up to now, or between two readings.

    Attributes:
        total: Of all.
        parts: By part: ``main`` (the first thread of the first process), ``threads`` (its others), ``workers`` (the
            processes below it, where there are any).
    """

    total: float
    parts: dict[str, float] = field(default_factory=dict)

    def __sub__(self, before: Cpu) -> Cpu:
        return Cpu(
            self.total - before.total, {name: each - before.parts.get(name, 0.0) for name, each in self.parts.items()}
        )

    def __truediv__(self, count: float) -> Cpu:
        return Cpu(self.total / count, {name: each / count for name, each in self.parts.items()})


def cpu_of(pid: int) -> Cpu:
    """Of a process and all below it."""
    first = _thread(pid, pid)
    own = _process(pid)
    below = sum(_process(child.pid) for child in psutil.Process(pid).children(recursive=True))
    return Cpu(own + below, {"main": first, "threads": own - first, "workers": below})


def _thread(pid: int, thread: int) -> float:
    return int((_PROC / str(pid) / "task" / str(thread) / "schedstat").read_text().split()[0]) / 1e9


def _process(pid: int) -> float:
    """Nanoseconds of the threads that live where that is more than the ticks say, for it is finer."""
    with suppress(FileNotFoundError, ProcessLookupError):
        after_name = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        ticks = (int(after_name[11]) + int(after_name[12])) / _TICK
        living = sum(_living(pid, int(thread.name)) for thread in (_PROC / str(pid) / "task").iterdir())
        return max(ticks, living)
    return 0.0


def _living(pid: int, thread: int) -> float:
    with suppress(FileNotFoundError, ProcessLookupError):
        return _thread(pid, thread)
    return 0.0
