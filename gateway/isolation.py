"""Where steps 2 to 4 run: worker processes that may write no file, hold bounded memory, and are killed when overdue.

Decoders meet hostile bytes here, so a hang, a crash or a memory bomb must stay here. ``worker_process.py`` keeps the
processes and kills one whose call is cancelled; this module hardens them and turns each way to die into a named error.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import GatewayError, TooCostly, UnsafeFile
from gateway.ingest.guard import silence_for_good
from gateway.turns import Turns
from gateway.worker_process import BrokenProcess, WorkerProcesses

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.settings import IngestSettings

Argument = TypeVar("Argument")
Result = TypeVar("Result")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
_LARGE, _SPARE = 2**20, 2**22
START_SECONDS = 1.5
"""What a fresh process costs, imports and the text detector's model included."""


class WorkerDefect(Exception):
    """Something that no step foresaw. Says its type and where it arose; the original's message may quote a value."""


def harden(memory_bytes: int) -> None:
    """Take from this process what it does not need. Irreversible; again costs nothing.

    RLIMIT_FSIZE 0 makes the kernel refuse every write to a file: the promise that bodies never reach a disk does not
    rest on the good behaviour of a dozen codecs. RLIMIT_CORE 0: no core dump holds a patient's image.
    """
    if resource.getrlimit(resource.RLIMIT_FSIZE) == (0, 0):
        return
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which drains first
    silence_for_good()  # pydicom's warnings quote values
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # and so do some C codecs
    os.close(silence)
    give_memory_back()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def give_memory_back() -> None:
    """Make the C library return what is freed to the system at once, from a megabyte on.

    By itself glibc keeps ever larger freed blocks after the first of a size was freed: a worker would hold the frames
    of the largest object that it ever saw. Other C libraries have no such setting and no such habit.
    """
    settle = getattr(ctypes.CDLL(None), "mallopt", None)
    if settle is not None:
        settle(_M_MMAP_THRESHOLD, _LARGE)
        settle(_M_TRIM_THRESHOLD, _SPARE)


def _call(function: Callable[[Argument], Result], argument: Argument, memory_bytes: int) -> Result:
    """Runs in the worker."""
    harden(memory_bytes)
    try:
        return function(argument)
    except GatewayError:
        raise
    except MemoryError:
        raise TooCostly("The file needs more memory than one file may take") from None
    except RecursionError:
        raise UnsafeFile("The file is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 - whatever it is, its message must not leave this process
        raise WorkerDefect(f"{type(error).__name__} at {_place(error)}") from None


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-6:]))


class Workers:
    """A pool of such processes, one a core unless set otherwise.

    Attributes:
        size: Most processes.
        turns: Who has one, and who waits for one.
        ended: Why processes had to be replaced (``overdue``, ``broken``, ``abandoned`` by a caller) to how many were.
    """

    def __init__(self, settings: IngestSettings) -> None:
        self.size = settings.worker_processes or len(os.sched_getaffinity(0))
        self._seconds = settings.worker_seconds
        self._memory = settings.worker_memory_bytes
        self.turns = Turns(self.size)
        self.ended = Counter[str]()
        self._leaving: set[asyncio.Task[None]] = set()
        self._processes = WorkerProcesses()

    @property
    def asked(self) -> int:
        """Calls that wait for a process or have one."""
        return self.turns.waiting + self.busy

    @property
    def busy(self) -> int:
        """Calls that have one, those included whose caller has left."""
        return self.turns.running

    async def warm(
        self, function: Callable[[Argument], Result], argument: Argument, processes: int | None = None
    ) -> None:
        """Start every process and run one call in each, so that no caller pays for imports and model loading.

        Args:
            function: What each runs.
            argument: Its argument.
            processes: How many to start, where less than all are of use.
        """
        count = self.size if processes is None else min(self.size, processes)
        await asyncio.gather(*(self._run(function, argument, seconds=60.0, long=False) for _ in range(count)))
        self.turns.forget()  # a start is no measure of what follows

    async def run(
        self, function: Callable[[Argument], Result], argument: Argument, *, seconds: float | None = None
    ) -> Result:
        """Call ``function(argument)`` in a worker. Waits for a free one; the time limit starts when it has one.

        Args:
            function: What it runs.
            argument: Its argument.
            seconds: A time limit for what may take long, in place of that of the settings. One process stays free of
                such calls, where there are two or more: short ones do not wait behind them.

        Raises:
            TooCostly: It took longer, or more memory, than one file may.
            UnsafeFile: It killed the process.
            WorkerDefect: The function raised something that is not a GatewayError.
            GatewayError: Whatever the function raises.
        """
        limit = self._seconds if seconds is None else seconds
        return await self._run(function, argument, seconds=limit, long=seconds is not None)

    async def _run(
        self, function: Callable[[Argument], Result], argument: Argument, *, seconds: float, long: bool
    ) -> Result:
        """Have it run where a caller who leaves does not end it at once: a fresh process costs more than most calls.

        A call that is left gets as long as a process takes to start, and is killed then, so that leaving costs at most
        twice what it must. It holds its place so long; one that waits for a place gives up waiting.
        """
        begun = asyncio.Event()
        call = asyncio.create_task(self._in_turn(function, argument, seconds, long, begun))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            if begun.is_set() and not call.done():
                leaving = asyncio.create_task(self._leave(call))
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)
            else:
                call.cancel()
            raise

    async def _leave(self, call: asyncio.Task[Result]) -> None:
        await asyncio.wait([call], timeout=START_SECONDS)
        if not call.done():
            self.ended["abandoned"] += 1
            call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    async def _in_turn(
        self,
        function: Callable[[Argument], Result],
        argument: Argument,
        seconds: float,
        long: bool,
        begun: asyncio.Event,
    ) -> Result:
        async with self.turns.turn(long=long):
            begun.set()
            try:
                async with asyncio.timeout(seconds):
                    # Cancelling, also by this time-out, kills the process; a fresh one serves the next call.
                    return await self._processes.call(_call, function, argument, self._memory)
            except TimeoutError:
                self.ended["overdue"] += 1
                raise TooCostly(f"The file takes longer than {seconds:g} s to decode and de-identify") from None
            except BrokenProcess:
                self.ended["broken"] += 1
                raise UnsafeFile("The file broke the decoder") from None


def guard_own_files() -> None:
    """For the gateway's own process: no core dump, as it holds bodies too; its files are for its own user only."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
