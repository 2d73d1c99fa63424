"""Beside all steps: where several gateway processes keep their numbers, for their parent to add up.

Each process writes its own files, mapped into memory (prometheus-client's multi-process mode): names, label values that
are ours, and numbers. The folder is in memory where the machine has ``/dev/shm``, is its owner's alone, and goes with
the parent. A parent that was killed leaves it behind; the next one removes it: the lock on it is free.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import Metric

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Set before a process imports prometheus-client, it makes the process write there."""
_PREFIX = "cordon-metrics-"
_LOCK = "owner"
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own in it, readable by its owner


@contextmanager
def shared_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new folder, for as long as the block runs.

    Args:
        parent: Where it is made; in memory if there is a place for that, else among the temporary files.

    Raises:
        OSError: It cannot be made.
    """
    if parent is None:
        parent = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    _remove_those_left(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = os.open(folder / f"{_LOCK}.new", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / f"{_LOCK}.new").rename(folder / _LOCK)  # whoever finds it, finds it locked
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_those_left(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another's, or one that is being made
            lock = os.open(folder / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


class SharedNumbers:
    """A collector of what all processes have written. What ended ones counted stays; their gauges go.

    Args:
        folder: Of ``shared_folder``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._collector = MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        """See prometheus-client."""
        for path in self._folder.glob("gauge_live*_*.db"):
            process = path.stem.rpartition("_")[2]
            if process.isdecimal() and not Path("/proc", process).exists():
                mark_process_dead(int(process), str(self._folder))  # type: ignore[no-untyped-call]
        metrics: Iterable[Metric] = self._collector.collect()  # type: ignore[no-untyped-call]
        return metrics
