"""Around steps 2 to 4: processes that stand ready for calls, and what is said between them and this one.

Ours in place of ``anyio.to_process``, which costs about 0.5 ms of CPU a call with an image in it: it reads answers in
pieces of 64 KiB through three layers of streams, and its pipes hold less than a tensor, so that both ends wake up four
times for each.
"""

from __future__ import annotations

import asyncio
import math
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import override

from gateway import worker_main
from gateway.worker_main import LENGTH, SOCKET_BYTES, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class BrokenProcess(Exception):
    """A process ended in the middle of a call."""


class WorkerProcess(asyncio.BufferedProtocol):
    """One process. Does one call at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytearray] | None = None
        self._message, self._reading_length = bytearray(LENGTH.size), True
        self._rest = memoryview(self._message)

    @classmethod
    async def start(cls) -> WorkerProcess:
        """A fresh one, that has imported nothing yet."""
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
            command = [sys.executable, "-P", str(Path(worker_main.__file__))]
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - a few milliseconds, once a process; our own command
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        _, worker = await asyncio.get_running_loop().create_unix_connection(lambda: cls(process), sock=ours)
        worker.send(sys.path)
        return worker

    @property
    def ended(self) -> bool:
        """Whether it can do no more calls."""
        return self._transport is None or self._process.poll() is not None

    async def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Have it done.

        Raises:
            BrokenProcess: It ended.
            Exception: Whatever the function raises.
        """
        if self._transport is None:
            raise BrokenProcess
        self._answer = asyncio.get_running_loop().create_future()
        self.send((function, *arguments))
        good, answer = unpack(await self._answer)
        if not good:
            raise answer
        result: Result = answer
        return result

    async def kill(self) -> None:
        """End it at once, whatever it does; it is gone on return."""
        self.kill_soon()
        await asyncio.to_thread(self._process.wait)

    def kill_soon(self) -> None:
        """The same without waiting for it."""
        self._process.kill()
        if self._transport is not None:
            self._transport.abort()

    def reap(self) -> None:
        """Wait for one that was killed."""
        self._process.wait()

    def send(self, thing: object) -> None:
        """Write a message."""
        assert self._transport is not None
        self._transport.writelines(pack(thing))

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # uvloop's are no subclass of asyncio.Transport

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BrokenProcess())

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return self._rest

    @override
    def buffer_updated(self, nbytes: int) -> None:
        self._rest = self._rest[nbytes:]
        if self._rest:
            return
        if self._reading_length:
            self._await_message(LENGTH.unpack(self._message)[0], length=False)
            return
        message = self._message
        self._await_message(LENGTH.size, length=True)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(message)

    def _await_message(self, size: int, *, length: bool) -> None:
        self._message, self._reading_length = bytearray(size), length
        self._rest = memoryview(self._message)


class WorkerProcesses:
    """Those that wait for a call. How many run at once is decided by whoever calls."""

    def __init__(self) -> None:
        self._idle: list[WorkerProcess] = []
        self._keeper: asyncio.Task[None] | None = None

    async def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Have it done by one that waits, or by a fresh one. If the caller is cancelled, it is killed.

        Raises:
            BrokenProcess: It ended in the middle of the call.
            Exception: Whatever the function raises.
        """
        worker = await self._take()
        try:
            answer = await worker.call(function, *arguments)
        except (BrokenProcess, asyncio.CancelledError):
            await asyncio.shield(worker.kill())
            raise
        except BaseException:
            self._idle.append(worker)
            raise
        self._idle.append(worker)
        return answer

    async def _take(self) -> WorkerProcess:
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._until_the_loop_ends(), name="worker-processes")
        while self._idle:
            worker = self._idle.pop()
            if not worker.ended:
                return worker
            await worker.kill()
        return await WorkerProcess.start()

    async def _until_the_loop_ends(self) -> None:
        """Nobody closes a pool by hand: whoever runs a loop cancels what still runs in it."""
        try:
            await asyncio.sleep(math.inf)
        finally:
            for worker in self._idle:
                worker.kill_soon()
            for worker in self._idle:
                worker.reap()
            self._idle.clear()
