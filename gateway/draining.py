"""Around all steps: how a process ends. Nobody who was let in goes without an answer and its record.

    SIGTERM ─▶ /readiness says no, answers close their connections
            ─▶ HTTP_DRAIN_PAUSE_SECONDS: balancers notice, and what they still send is served
            ─▶ no new connections (uvicorn); running requests go on
            ─▶ HTTP_DRAIN_SECONDS: what still runs is told 503, on record
            ─▶ the services are closed in their order (services.py)

A second signal leaves out the pause.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from gateway.errors import ShuttingDown

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger(__name__)

CUT_SECONDS = 2.0
"""What those who are told 503 at the end have for their record and their answer."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Draining:
    """One a process.

    Args:
        pause: Seconds between the signal and the end of accepting.
        seconds: For how long running requests may go on after that.

    Attributes:
        on: Whether the end has begun.
        over: Whether the time of running requests is up.
    """

    def __init__(self, pause: float, seconds: float) -> None:
        self.on = False
        self.over = False
        self._pause = pause
        self._seconds = seconds
        self._running: set[asyncio.Timeout] = set()
        self._before: dict[int, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pausing: asyncio.TimerHandle | None = None

    @contextmanager
    def bounds(self, timeout: asyncio.Timeout) -> Iterator[None]:
        """While in it, the time-out passes when the time of running requests is up, if it has not before."""
        self._running.add(timeout)
        try:
            if self.over:
                timeout.reschedule(asyncio.get_running_loop().time())
            yield
        finally:
            self._running.discard(timeout)

    def listen(self) -> None:
        """Come between the signals and the server, which would stop accepting at once. In the main thread alone."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if callable(before):
                self._before[number] = before
                signal.signal(number, self._signalled)

    def close(self) -> None:
        """Give the signals back."""
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)

    def begin(self, number: int) -> None:
        """Say that the end has begun; after the pause the server stops accepting. Again: leave out the rest of it."""
        if not self.on:
            self.on = True
            log.info("drain.begun", pause=self._pause, seconds=self._seconds, running=len(self._running))
            self._pausing = asyncio.get_running_loop().call_later(self._pause, self._stop, number)
        elif self._pausing is not None:
            self._pausing.cancel()
            self._stop(number)
        else:
            self._tell_server(number)

    def _stop(self, number: int) -> None:
        """Running requests have their time from now on."""
        self._pausing = None
        asyncio.get_running_loop().call_later(self._seconds, self.cut)
        self._tell_server(number)

    def _tell_server(self, number: int) -> None:
        if (handler := self._before.get(number)) is not None:
            handler(number, None)

    def cut(self) -> None:
        """The time is up."""
        self.over = True
        now = asyncio.get_running_loop().time()
        for timeout in self._running:
            if timeout.when() is None or timeout.when() > now:  # type: ignore[operator] # None is looked at before
                timeout.reschedule(now)
        if self._running:
            log.warning("drain.cut", running=len(self._running))

    def error(self) -> ShuttingDown:
        """What is told to those who are not answered, and to those who ask whether the process is ready."""
        return ShuttingDown("This process is ending; others may be there", retry_after=1.0)

    def cuts(self, error: BaseException) -> bool:
        """Whether it was raised because the time was up."""
        return self.over and isinstance(error, TimeoutError)

    def _signalled(self, number: int, _frame: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.begin, number)  # a handler may run in the middle of anything
