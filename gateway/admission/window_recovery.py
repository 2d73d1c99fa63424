"""Step 1 of 7: brings a server's windows back to what was let in, when it may have lost some of it.

Each process keeps one of these a server. It gives a sign of life four times a second (a pulse), and hears from the
answer who else does, whether the server's windows are still of the generation that it knows, and whether the server's
clock runs on. Where they are not, nothing is decided until all processes that were heard of lately have told the server
what they remember (``report.lua``), or were waited for in vain. Then there is a new generation (``generation.lua``).
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import secrets
import struct
import time
from typing import TYPE_CHECKING, Any

import structlog

from gateway.admission.plans import INFLIGHT
from gateway.admission.window_server import (
    OTHER_GENERATION,
    RedisAwayError,
    WindowServer,
    WindowsInDoubtError,
    WindowsUnsettledError,
    now_us,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.admission.local_windows import Remembered
    from gateway.admission.server_clock import Span

log = structlog.get_logger(__name__)

PULSE_SECONDS = 0.25
_POLL_SECONDS = 0.02
_JOIN_SECONDS = 1.0  # for which a first process waits for the others, and a new one for another that confirms the time
_MISSING_SECONDS = 3.0  # without any news, until those that did not report are held to be gone
_PATIENCE_SECONDS = 2.0  # longest that a request waits
_AT_ONCE = 16
_ANY_NUMBER = 1_000_000

_HEAD = struct.Struct(">8sBQQ")  # recovery or generation, whether it is a generation, earliest and latest time
_WINDOW = struct.Struct(">QBB")  # length of a sub-bucket in us, how many of them, how many charges
_CHARGE = struct.Struct(">QQ")  # age in us, cost
_LEASE = struct.Struct(">Q16s")  # us left, name
_COUNT = struct.Struct(">I")


class Recovery:
    """What one process and one server agree upon.

    Args:
        server: The server.
        remembered: What this process let in, as far as it still counts.
        name: Of this process.
        processes: How many share the limits, as far as is known before they are heard of.
        peers: Those that were heard of elsewhere, if this server takes the place of another; None if it does not.
    """

    def __init__(
        self,
        server: WindowServer,
        remembered: Callable[[], Iterable[Remembered]],
        *,
        name: str,
        processes: int,
        peers: set[bytes] | None = None,
    ) -> None:
        self.generation: bytes | None = None
        self.recovered = 0
        self.peers = peers or set()
        self._server = server
        self._remembered = remembered
        self._processes = processes
        self._name = name
        self._peers_stay = 0.0  # until when none of them is forgotten
        self._follows = self._decided = peers is not None
        """Whether this process may have let something in that this server was never told."""
        self._known = b""  # the generation that it last decided in
        self._part = b""  # the recovery to which it has begun to report
        self._reported = b""  # the one to which it has reported all
        self._doubted = b""
        self._agreed_at = 0.0
        self._hasty = False  # whether something was lost before this process could hear of all others
        self._joined_at: int | None = None  # the server's time when this process first asked to join
        self._far = -1
        self._since = time.monotonic()
        self._wake = asyncio.Event()
        self._step: asyncio.Future[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def settled(self) -> bytes:
        """The generation, once it is agreed upon.

        Raises:
            RedisAwayError: The server does not answer.
            WindowsUnsettledError: It takes too long.
        """
        until = time.monotonic() + _PATIENCE_SECONDS
        while self.generation is None:
            self.start()
            if self._step is None:
                self._step = asyncio.get_running_loop().create_future()
            step = self._step
            self._wake.set()
            done, _ = await asyncio.wait({step}, timeout=max(0.0, until - time.monotonic()))
            if not done:
                raise WindowsUnsettledError
            step.result()
        return self.generation

    def start(self) -> None:
        """Agree upon a generation, and give signs of life from then on."""
        if self._keeper is None:
            nobodys = contextvars.Context()  # it goes on when the request that began it is over
            self._keeper = asyncio.create_task(self._keep(), context=nobodys)

    def lost(self, generation: bytes, *, doubt: bool) -> None:
        """The server has another generation than this, or this one is in doubt."""
        if generation != self.generation:
            return  # so it has been noticed, and may be mended already
        if doubt:
            self._doubted, self._known = generation, b""
        self.generation = None
        self._since = time.monotonic()
        self._hasty = self._since - self._agreed_at < 2 * PULSE_SECONDS
        self._wake.set()

    async def close(self) -> None:
        """Stop, and tell the others not to wait for this process."""
        if self._keeper is None:
            return
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper
        with contextlib.suppress(RedisAwayError, WindowsUnsettledError):
            await self._generation("leave")

    async def _keep(self) -> None:
        while True:
            pause, failure = PULSE_SECONDS, None
            self._wake.clear()
            try:
                if (generation := self.generation) is not None:
                    if not await self._pulse(generation):
                        self.lost(generation, doubt=False)
                else:
                    pause = 0.0 if await self._settle() else _POLL_SECONDS
            except WindowsInDoubtError:
                self._doubt()
                pause = 0.0
            except WindowsUnsettledError:
                pause = _POLL_SECONDS
            except RedisAwayError as error:
                failure = error
            except Exception as error:  # whatever it is: one that ended would leave all requests waiting
                log.exception("limiter.recovery-failed")
                failure = RedisAwayError(type(error).__name__)
            self._tell(failure)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    def _tell(self, failure: RedisAwayError | None) -> None:
        """Those who wait look again, if something is decided."""
        if self._step is None or (failure is None and self.generation is None):
            return
        step, self._step = self._step, None
        if failure is None:
            step.set_result(None)
        else:
            step.set_exception(failure)
            step.exception()  # whoever waited may have gone

    def _doubt(self) -> None:
        if self.generation is not None:
            self.lost(self.generation, doubt=True)
        if self._part:
            self._doubted, self._part, self._reported = self._part, b"", b""
        self._joined_at = None

    async def _pulse(self, generation: bytes) -> bool:
        """Give a sign of life. False if the server has another generation."""
        answer = await self._generation("pulse", generation)
        if answer[0] == OTHER_GENERATION:
            return False
        if time.monotonic() < self._peers_stay:  # the server may have forgotten who there is, too
            self.peers |= {*answer[2:]}
        else:
            self.peers = {*answer[2:]}
        return True

    async def _settle(self) -> bool:
        """Go on one step. Whether the next one can follow at once."""
        agreed, at, number, told, member = await self._ask()
        self._doubted = b""
        if not agreed:
            return await self._take_part(number, told)
        if self._follows and number != self._reported:
            self._doubted = number
            return True
        if not member:
            if self._joined_at is None:
                self._joined_at, self._since = at, time.monotonic()
            if told <= self._joined_at:
                return self._wait_to_join(number, alone=not told)
        if self._decided and number not in (self._known, self._reported):  # the others went on without this process
            await self._report(number, late=True)
        if not self._server.clock.sharp and time.monotonic() - self._since < _JOIN_SECONDS:
            return False  # a quicker answer is hoped for
        if await self._pulse(number):
            self._agree(number)
        return True

    async def _take_part(self, number: bytes, far: int) -> bool:
        if number == self._reported:
            if far != self._far:
                self._far, self._since = far, time.monotonic()
            return False
        self._far, self._since = far, time.monotonic()
        await self._report(number, late=False)
        return True

    def _wait_to_join(self, number: bytes, *, alone: bool) -> bool:
        """A member that gives a sign of life now has heard of this process, and confirms the server's time."""
        if alone or time.monotonic() - self._since > _JOIN_SECONDS:
            self._doubted = number
        return alone

    def _agree(self, number: bytes) -> None:
        if number == self._reported and self._decided:
            self.recovered += 1
            log.warning("limiter.windows-recovered", processes=len(self.peers) + 1)
        self.generation = self._known = number
        self._follows, self._decided = False, True
        self._part = self._reported = b""
        self._joined_at = None
        self._agreed_at = time.monotonic()
        self._peers_stay = self._agreed_at + _JOIN_SECONDS

    async def _ask(self) -> list[Any]:
        waited = time.monotonic() - self._since if self._reported else 0.0
        least = _ANY_NUMBER if self._hasty else self._processes
        return await self._generation(
            "ask",
            self._doubted,
            self._reported,
            secrets.token_bytes(8),
            1 if waited > _JOIN_SECONDS else least,
            int(waited > _MISSING_SECONDS),
            *self.peers,
        )

    async def _generation(self, operation: str, *arguments: Any) -> list[Any]:
        return await self._server.call(
            "generation.lua", self._server.names, lambda span: (operation, self._name, *span, *arguments)
        )

    async def _report(self, number: bytes, *, late: bool) -> None:
        await self._server.quiet()  # what is on its way may have been let in
        self._part, self._reported = number, b""
        todo = list(self._remembered())
        try:
            for first in range(0, len(todo), _AT_ONCE):
                batch = todo[first : first + _AT_ONCE]
                await asyncio.gather(*(self._report_one(number, one, late=late) for one in batch))
        except RedisAwayError:  # some of it may have been heard: it must not be told twice
            self._doubted, self._part = number, b""
            raise
        self._reported = number

    async def _report_one(self, number: bytes, one: Remembered, *, late: bool) -> None:
        names = self._server.names
        tag = f"rl:{{{one.key_id}}}:"
        windows = [f"{tag}{seconds:g}" for seconds, *_ in one.windows]
        sums = [f"{window}:{number.hex()}" for window in windows]

        def arguments(span: Span) -> tuple[bytes, str, str]:
            told = _told(number, one, span, late=late)
            return told, names.generation, names.recovery

        answer = await self._server.call("report.lua", [*windows, *sums, tag + INFLIGHT], arguments)
        if answer[0] == OTHER_GENERATION:
            raise WindowsUnsettledError


def _told(number: bytes, one: Remembered, span: Span, *, late: bool) -> bytes:
    parts = [_HEAD.pack(number, late, *span)]
    for _, size, buckets, charges in one.windows:
        parts.append(_WINDOW.pack(size, buckets, len(charges)))
        parts += [_CHARGE.pack(age, cost) for age, cost in charges]
    now = now_us()
    leases = [(deadline - now, name) for name, deadline in one.leases if deadline > now]
    parts.append(_COUNT.pack(len(leases)))
    parts += [_LEASE.pack(left, name.encode()) for left, name in leases]
    return b"".join(parts)
