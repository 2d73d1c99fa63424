"""Step 1 of 7: one server that holds windows: its scripts, called within the time that its clock must show.

A call that came too late to be judged by its time is sent anew. Where another server answers than before (its run ID
says so when a connection is made), or its clock was set, what it holds is in doubt: ``WindowsInDoubt``.
"""

from __future__ import annotations

import asyncio
import struct
import time
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import MovedError, NoScriptError, RedisError

from gateway.admission.redis_connections import Connections
from gateway.admission.server_clock import ServerClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.admission.server_clock import Span

OTHER_GENERATION, OTHER_TIME = -1, -2
"""What a script answers in place of a verdict."""

_DECIDE = "window.lua"
_HEAD = struct.Struct(">8sQQ")  # generation, earliest and latest time


class RedisAwayError(Exception):
    """Redis did not answer in time, or not as it should. Inside the limiter only."""


class WindowsUnsettledError(Exception):
    """The server's windows are to be agreed upon before anything is decided. Nothing was charged."""


class WindowsInDoubtError(WindowsUnsettledError):
    """The server's clock was set, or it is another server now: what it holds may not be what it was told."""


class Names(NamedTuple):
    """Keys of a server's own, beside those of the callers; all in one slot."""

    generation: str
    members: str
    recovery: str

    @classmethod
    def of(cls, tag: str = "0") -> Names:
        """With ``tag`` in braces: it decides in which slot of a Cluster they lie."""
        return cls(*(f"limiter:{{{tag}}}:{field}" for field in cls._fields))


class WindowServer:
    """One server.

    Args:
        client: Made by ``redis_url``; closed with this.
        names: Of its keys.
        timeout: Longest wait for a call, seconds.
        pool_size: Calls at once.
        moved: Called when it may not be the server of what it was asked for.
    """

    def __init__(self, client: Any, names: Names, *, timeout: float, pool_size: int, moved: Callable[[], None]) -> None:
        self._moved = moved
        self.names = names
        self.clock = ServerClock()
        self._deciding = 0
        self._quiet: asyncio.Event | None = None
        self._connections = Connections(client, self._connected)
        self._timeout = timeout
        self._turns = asyncio.Semaphore(pool_size)
        self._loaded: dict[str, str] = {}
        self._run_id = b""

    async def decide(self, keys: Sequence[str], generation: bytes, argument: bytes) -> list[Any]:
        """The answer of ``window.lua``. The way of every request: nothing is done twice, and nothing for later.

        Args:
            keys: Its keys.
            generation: That this process and the server have agreed upon.
            argument: The rest of its argument.

        Raises:
            RedisAwayError: No answer; it may have been done.
            WindowsInDoubtError: Nothing was done.
            WindowsUnsettledError: No answer that can be believed; it may have been done.
        """
        self._deciding += 1
        forgotten = self.clock.forgotten
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                while True:
                    begin = now_us()
                    head = _HEAD.pack(generation, *self.clock.span(begin))
                    answer = await self._evaluate(_DECIDE, keys, (head + argument, self.names.generation))
                    if forgotten != self.clock.forgotten:  # another call has found that all this is in doubt
                        raise WindowsUnsettledError
                    if answer[0] != OTHER_TIME:  # of the clock the pulses learn enough
                        return answer
                    self._heard(answer[1], begin)
        except (RedisError, OSError, TimeoutError) as error:
            raise self._failure(error) from None
        finally:
            self._deciding -= 1
            if self._quiet is not None and not self._deciding:
                self._quiet.set()

    async def quiet(self) -> None:
        """Wait until no decision is on its way. There must be no new ones."""
        if self._deciding:
            self._quiet = asyncio.Event()
            await self._quiet.wait()
            self._quiet = None

    async def call(self, script: str, keys: Sequence[str], arguments: Callable[[Span], Sequence[Any]]) -> list[Any]:
        """The answer of another script, whatever it is but ``OTHER_TIME``.

        Args:
            script: Name of its file.
            keys: Its keys.
            arguments: Its arguments, for a call that is sent now.

        Raises:
            RedisAwayError: No answer; it may have been done.
            WindowsInDoubtError: Nothing was done.
        """
        forgotten = self.clock.forgotten
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                while True:
                    begin = now_us()
                    answer = await self._evaluate(script, keys, arguments(self.clock.span(begin)))
                    if forgotten != self.clock.forgotten:
                        raise WindowsUnsettledError
                    self._heard(answer[1], begin)
                    if answer[0] != OTHER_TIME:
                        return answer
        except (RedisError, OSError, TimeoutError) as error:
            raise self._failure(error) from None

    async def command(self, *command: str) -> Any:
        """The answer to a command. Raises as ``call``."""
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                return await self._connections.call(*command)
        except (RedisError, OSError, TimeoutError) as error:
            raise self._failure(error) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    def _heard(self, at: int, begin: int) -> None:
        end = now_us()
        if self.clock.jumped(at, begin, end):
            self.clock.forget()
            raise WindowsInDoubtError("its clock was set")
        self.clock.heard(at, begin, end)

    def _failure(self, error: Exception) -> Exception:
        self._moved()
        if isinstance(error, MovedError):
            return WindowsUnsettledError()
        return RedisAwayError(f"{type(error).__name__}: {error}")

    async def _evaluate(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> list[Any]:
        digest = self._loaded.get(script) or await self._load(script)
        try:
            return await self._connections.call("EVALSHA", digest, len(keys), *keys, *arguments)  # type: ignore[no-any-return]
        except NoScriptError:  # the server was restarted, or its scripts were flushed
            digest = await self._load(script)
        return await self._connections.call("EVALSHA", digest, len(keys), *keys, *arguments)  # type: ignore[no-any-return]

    async def _load(self, script: str) -> str:
        text = resources.files(__package__).joinpath(script).read_text(encoding="utf-8")
        digest: bytes = await self._connections.call("SCRIPT", "LOAD", text)
        self._loaded[script] = digest.decode()
        return self._loaded[script]

    def _connected(self, run_id: bytes) -> None:
        known, self._run_id = self._run_id, run_id
        if known and known != run_id:
            self.clock.forget()
            raise WindowsInDoubtError("another server answers")


def now_us() -> int:
    """The process's own time, which is never set, in microseconds."""
    return time.monotonic_ns() // 1000
