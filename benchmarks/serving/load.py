"""Who sends: prebuilt HTTP/1.1 requests over kept-alive connections, from one process of its own.

Closed loop: so many callers, each sends its next request when it has its answer; one who is told to come again later
does so. Open loop: requests are due at times drawn beforehand (a Poisson process), whether or not earlier ones were
answered, and a latency counts from when its request was due, not from when it was sent: a server that stalls cannot
hide the requests that it held up ("coordinated omission", G. Tene, "How NOT to Measure Latency", 2013). How late the
generator itself was is noted with each request.

The generator shares the machine with what it measures. It parses no JSON and copies no body, so that it takes little
of it; how much is in every result.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import multiprocessing
import os
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import psutil
import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

UNANSWERED = 0
"""In place of a status: the connection broke, or no answer came within ``GRACE_SECONDS`` of the run's end."""
GRACE_SECONDS = 15.0
SHED = frozenset({429, 503})
PATIENCE_SECONDS = 1.0
"""A caller of a closed loop who is told to come again later (Retry-After) does so, after at most so long."""
NOT_NAMED = -1.0
IDLE_SECONDS = 3.0
"""A connection that rested for longer is not used again: a server may be closing it (uvicorn does after 5 s)."""
CONNECTIONS = 2000
"""Most connections of an open loop at once. A request that finds none free is counted as unanswered."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to, and what.

    Attributes:
        name: What it is called in tables.
        port: On 127.0.0.1.
        request: The whole request: head and body, kept alive.
        others: More of them; all are sent in turn.
    """

    name: str
    port: int
    request: bytes = field(repr=False)
    others: tuple[bytes, ...] = field(default=(), repr=False)

    def requests(self) -> Iterator[bytes]:
        """Without end."""
        return itertools.cycle((self.request, *self.others))


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of an open loop: requests a second, and for how long."""

    rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run; arrays have one entry a request, in no order.

    Attributes:
        target: Its name.
        seconds: For how long requests were sent, without the warm-up.
        due: When it was due (open loop) or sent (closed loop), seconds from the end of the warm-up; below 0 in it.
        late: Seconds from due to sent.
        took: Seconds from due to the last byte of the answer.
        status: HTTP status, or ``UNANSWERED``.
        named_wait: Whether the answer had a Retry-After.
        cpu: CPU seconds of the generator, warm-up included.
    """

    target: str
    seconds: float
    due: npt.NDArray[np.float64]
    late: npt.NDArray[np.float64]
    took: npt.NDArray[np.float64]
    status: npt.NDArray[np.int16]
    named_wait: npt.NDArray[np.bool_]
    cpu: float


class _Line(asyncio.Protocol):
    """One connection. One request at a time; says by ``done`` how it ended."""

    def __init__(self) -> None:
        self.done: Callable[[_Line, int, float], None] | None = None
        self.open = False
        self.rested = time.perf_counter()
        self._transport: asyncio.Transport | None = None
        self._held = bytearray()
        self._wanted = 0
        self._status = UNANSWERED
        self._wait = NOT_NAMED
        self._last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # uvloop's is no asyncio.Transport by its class
        self.open = True

    def ask(self, request: bytes, done: Callable[[_Line, int, float], None]) -> None:
        assert self._transport is not None
        self.done = done
        self._held.clear()
        self._wanted = 0
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._held += data
        if not self._wanted:
            end = self._held.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._held[:end]).lower()
            self._status = int(head[9:12])
            self._wait = _number(head, b"retry-after", NOT_NAMED)
            self._last = b"\r\nconnection: close" in head
            self._wanted = end + 4 + int(_number(head, b"content-length"))
        if len(self._held) >= self._wanted:
            if self._last:
                self.close()
            self._tell(self._status)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.open = False
        self._tell(UNANSWERED)

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def _tell(self, status: int) -> None:
        done, self.done = self.done, None
        self.rested = time.perf_counter()
        if done is not None:
            done(self, status, self._wait if status != UNANSWERED else NOT_NAMED)


def _number(head: bytes, name: bytes, otherwise: float | None = None) -> float:
    """What a header of a head in small letters says. Raises ValueError if it is not there and has to be."""
    at = head.find(b"\r\n" + name + b":")
    if at >= 0:
        return float(head[at + len(name) + 3 :].split(b"\r\n", 1)[0])
    if otherwise is None:
        raise ValueError(f"an answer without {name.decode()}")
    return otherwise


async def _connect(port: int) -> _Line:
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(_Line, "127.0.0.1", port)
    return line


class _Notes:
    """Rows of a run, as they come."""

    def __init__(self, target: Target, seconds: float, zero: float) -> None:
        self.target, self.seconds, self.zero = target, seconds, zero
        self.rows: list[tuple[float, float, float, int, float]] = []
        self._cpu = time.process_time()

    def add(self, due: float, sent: float, status: int, wait: float) -> None:
        self.rows.append((due - self.zero, sent - due, time.perf_counter() - due, status, wait))

    def run(self) -> Run:
        due, late, took, status, wait = zip(*self.rows, strict=True) if self.rows else ((),) * 5
        return Run(
            self.target.name,
            self.seconds,
            np.array(due),
            np.array(late),
            np.array(took),
            np.array(status, np.int16),
            np.array(wait) >= 0,
            time.process_time() - self._cpu,
        )


async def _closed(target: Target, callers: int, seconds: float, warm: float) -> Run:
    lines = [await _connect(target.port) for _ in range(callers)]
    zero = time.perf_counter() + warm
    until = zero + seconds
    notes = _Notes(target, seconds, zero)
    left, requests = callers, target.requests()
    finished, loop = asyncio.Event(), asyncio.get_running_loop()

    def turn(line: _Line) -> None:
        if not line.open:
            replace(line)
            return
        sent = time.perf_counter()

        def done(line: _Line, status: int, wait: float) -> None:
            nonlocal left
            notes.add(sent, sent, status, wait)
            pause = min(max(wait, 0.0), PATIENCE_SECONDS) if status in SHED else 0.0
            if time.perf_counter() + pause < until:
                if line.open and pause:
                    loop.call_later(pause, turn, line)
                    return
                if line.open:
                    turn(line)
                    return
                replace(line)
                return
            left -= 1
            if not left:
                finished.set()

        line.ask(next(requests), done)

    def replace(line: _Line) -> None:
        lines.remove(line)
        replacing.add(task := asyncio.ensure_future(again()))
        task.add_done_callback(replacing.discard)

    async def again() -> None:
        await asyncio.sleep(0.01)  # a server that drops connections is not hammered
        line = await _connect(target.port)
        lines.append(line)
        turn(line)

    replacing: set[asyncio.Future[None]] = set()
    for line in tuple(lines):
        turn(line)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(warm + seconds + GRACE_SECONDS):
            await finished.wait()
    for line in lines:
        line.close()
    await asyncio.sleep(0.01)  # those without an answer are noted as such
    return notes.run()


async def _open(target: Target, phases: tuple[Phase, ...], warm: float, seed: int) -> Run:
    chance, requests = random.Random(seed), target.requests()
    idle: list[_Line] = [await _connect(target.port) for _ in range(8)]
    every = set(idle)
    waiting: set[asyncio.Future[None]] = set()
    zero = time.perf_counter() + warm
    notes = _Notes(target, sum(phase.seconds for phase in phases), zero)
    outstanding, over, settled = 0, False, asyncio.Event()

    def note(due: float, sent: float, status: int, wait: float) -> None:
        nonlocal outstanding
        outstanding -= 1
        notes.add(due, sent, status, wait)
        if over and not outstanding:
            settled.set()

    def send(line: _Line, due: float) -> None:
        sent = time.perf_counter()

        def done(line: _Line, status: int, wait: float) -> None:
            note(due, sent, status, wait)
            if line.open:
                idle.append(line)
            else:
                every.discard(line)

        line.ask(next(requests), done)

    async def send_on_new(due: float) -> None:
        try:
            line = await _connect(target.port)
        except OSError:
            note(due, time.perf_counter(), UNANSWERED, NOT_NAMED)
            return
        every.add(line)
        send(line, due)

    begin = zero - warm
    for phase in (Phase(phases[0].rate, warm), *phases):
        end = begin + phase.seconds
        due = begin + chance.expovariate(phase.rate)
        while due < end:
            pause = due - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            while idle and not (idle[-1].open and time.perf_counter() - idle[-1].rested < IDLE_SECONDS):
                every.discard(idle[-1])
                idle.pop().close()
            outstanding += 1
            if idle:
                send(idle.pop(), due)
            elif len(every) + len(waiting) < CONNECTIONS:
                waiting.add(task := asyncio.ensure_future(send_on_new(due)))
                task.add_done_callback(waiting.discard)
            else:
                note(due, time.perf_counter(), UNANSWERED, NOT_NAMED)
            due += chance.expovariate(phase.rate)
        begin = end
    over = True
    if outstanding:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await settled.wait()
    for line in every:
        line.close()
    await asyncio.sleep(0.01)  # those without an answer are noted as such
    return notes.run()


def _serve(pipe: Any, niceness: int) -> None:
    """The generator's process."""
    os.nice(niceness)
    gc.disable()  # no pause of its own between a due time and its sending
    while (task := pipe.recv()) is not None:
        function, *arguments = task
        try:
            pipe.send(uvloop.run(function(*arguments)))
        except OSError as error:  # nobody listens
            pipe.send(error)
        gc.collect()


class Generator:
    """The process that sends. A context manager.

    Args:
        niceness: Added to its own; what is measured goes first.
    """

    def __init__(self, niceness: int = 5) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, niceness), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        self._process.join(5.0)

    @contextlib.contextmanager
    def on(self, cores: list[int]) -> Iterator[None]:
        """Meanwhile it sends from these cores alone."""
        process = psutil.Process(self._process.pid)
        before = process.cpu_affinity()
        process.cpu_affinity(cores)
        try:
            yield
        finally:
            process.cpu_affinity(before)

    def closed(self, target: Target, callers: int, seconds: float, *, warm: float = 0.5) -> Run:
        """A closed loop. Raises OSError if nobody listens."""
        return self._do(_closed, target, callers, seconds, warm)

    def open(self, target: Target, phases: tuple[Phase, ...], *, warm: float = 1.0, seed: int = 1) -> Run:
        """An open loop; the warm-up has the first phase's rate. Raises OSError if nobody listens at its begin."""
        return self._do(_open, target, phases, warm, seed)

    def _do(self, *task: Any) -> Run:
        self._pipe.send(task)
        while not self._pipe.poll(1.0):
            if not self._process.is_alive():
                raise RuntimeError("the generator ended")
        try:
            run: Run | OSError = self._pipe.recv()
        except EOFError:
            raise RuntimeError("the generator ended") from None
        if isinstance(run, OSError):
            raise run
        return run
