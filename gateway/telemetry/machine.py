"""Beside all steps: memory and disk, as the kernel tells them. Linux; elsewhere they are said to be unknown."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_CGROUP = Path("/sys/fs/cgroup")


def resident_bytes(process: int) -> int:
    """Resident memory of a process, in bytes; 0 if it has ended. ``proc_pid_statm(5)``."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    return 0


def children_of(process: int) -> list[int]:
    """The processes that it started and that still run. ``proc_tid_children(5)``."""
    found: list[int] = []
    for threads in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError, ValueError):
            found += map(int, threads.read_text(encoding="ascii").split())
    return found


def container_memory(cgroup: Path = _CGROUP) -> tuple[int, int]:
    """Most bytes that the container may have, and those in use without file caches that can be dropped; 0 if unknown.

    Linux cgroup v2: ``memory.max``, ``memory.current`` and ``inactive_file`` of ``memory.stat``, as Kubernetes counts.
    """
    with suppress(OSError, ValueError, KeyError):
        most = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        current = int((cgroup / "memory.current").read_text(encoding="ascii"))
        lines = (cgroup / "memory.stat").read_text(encoding="ascii").splitlines()
        stat = dict(line.split() for line in lines)
        return 0 if most == "max" else int(most), current - int(stat["inactive_file"])
    return 0, 0


def free_share(path: Path) -> float:
    """How much of the file system that holds this path is free to us, 0 to 1. Raises OSError."""
    told = os.statvfs(path)
    return told.f_bavail / told.f_blocks if told.f_blocks else 1.0
