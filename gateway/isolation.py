"""Where steps 2 to 4 run: worker processes that may write no file, hold bounded memory, and are killed when overdue.

Decoders meet hostile bytes here, so a hang, a crash or a memory bomb must stay here. ``anyio.to_process`` keeps the
processes and kills one whose call is cancelled; this module hardens them and turns each way to die into a named error.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import resource
import signal
import sys
import warnings
from typing import TYPE_CHECKING, TypeVar

import anyio
from anyio import CapacityLimiter, to_process

from gateway.errors import TooCostly, UnsafeFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.settings import IngestSettings

Argument = TypeVar("Argument")
Result = TypeVar("Result")

_hardened = False


def harden(memory_bytes: int) -> None:
    """Take from this process what it does not need. Once a process; irreversible.

    RLIMIT_FSIZE 0 makes the kernel refuse every write to a file: the promise that bodies never reach a disk does not rest
    on the good behaviour of a dozen codecs. RLIMIT_CORE 0: no core dump holds a patient's image.
    """
    global _hardened  # noqa: PLW0603 - the limits are the process's, so is the mark
    if _hardened:
        return
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    logging.disable(logging.CRITICAL)  # pydicom's warnings quote values
    warnings.simplefilter("ignore")
    sys.stderr.flush()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # and so do some C codecs
    os.close(silence)
    _hardened = True


def _call(function: Callable[[Argument], Result], argument: Argument, memory_bytes: int) -> Result:
    harden(memory_bytes)
    try:
        return function(argument)
    except MemoryError:
        raise TooCostly("The file needs more memory than one file may take") from None
    except RecursionError:
        raise UnsafeFile("The file is nested too deeply") from None


class Workers:
    """A pool of such processes, one a core unless set otherwise."""

    def __init__(self, settings: IngestSettings) -> None:
        self.size = settings.worker_processes or os.cpu_count() or 1
        self._seconds = settings.worker_seconds
        self._memory = settings.worker_memory_bytes
        self._limiter: CapacityLimiter | None = None

    async def warm(self, function: Callable[[Argument], Result], argument: Argument) -> None:
        """Start every process and run one call in each, so that no caller pays for imports and model loading."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.size):
                group.create_task(self._run(function, argument, seconds=60.0))

    async def run(self, function: Callable[[Argument], Result], argument: Argument) -> Result:
        """Call ``function(argument)`` in a worker. Waits for a free one; the time limit starts when it has one.

        Raises:
            TooCostly: It took longer, or more memory, than one file may.
            UnsafeFile: It killed the process.
            Exception: Whatever the function raises.
        """
        return await self._run(function, argument, seconds=self._seconds)

    async def _run(self, function: Callable[[Argument], Result], argument: Argument, *, seconds: float) -> Result:
        if self._limiter is None:  # belongs to the event loop, so it cannot be made before there is one
            self._limiter = CapacityLimiter(self.size)
        async with self._limiter:
            try:
                async with asyncio.timeout(seconds):
                    return await to_process.run_sync(_call, function, argument, self._memory, cancellable=True)
            except TimeoutError:
                raise TooCostly(f"The file takes longer than {seconds:g} s to decode and de-identify") from None
            except anyio.BrokenWorkerProcess:
                raise UnsafeFile("The file broke the decoder") from None
            except (pickle.PicklingError, EOFError):
                raise UnsafeFile("The file broke the decoder") from None

    async def close(self) -> None:
        """The processes end with the event loop (anyio's own hook); nothing is left to close."""
            await asyncio.sleep(0)
