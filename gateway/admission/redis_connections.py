"""Step 1 of 7: calls to Redis, one at a time on a connection, without what the client does around each.

redis-py spends as long again on a call as the server, the kernel and its own parser: on retries, hooks and measurements
that nobody asked for, and on packing the command in Python. The limiter stands in the way of every request, so it takes
connections of the client's pool and keeps them. Connecting, TLS, logging in, Sentinel and protocol stay the client's.

A server that restarts or takes another's place cuts all connections: so who answers is asked once a connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hiredis import pack_command
from redis.exceptions import ResponseError

from gateway.admission.redis_url import close

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio.connection import AbstractConnection


class Connections:
    """Those of one client. Who calls bounds how many calls run at once and how long each takes.

    Args:
        client: Made by ``redis_url``, for one server or a master behind Sentinel.
        connected: Told the server's run ID, which is another after each start, when a connection is made. What it
            raises, the call raises, before anything was sent.
    """

    def __init__(self, client: Any, connected: Callable[[bytes], None] | None = None) -> None:
        self._client = client
        self._connected = connected
        self._idle: list[AbstractConnection] = []

    async def call(self, *command: str | bytes | float) -> Any:
        """The answer to a command. Bytes stay bytes.

        Raises:
            RedisError, OSError: As redis-py raises them. Never tried twice.
        """
        connection = await self._take()
        try:
            packed = pack_command(command)  # type: ignore[arg-type] # its stub names a tuple of one
            await connection.send_packed_command(packed, check_health=False)
            answer = await connection.read_response(disable_decoding=True)
        except ResponseError:
            self._idle.append(connection)
            raise
        except BaseException:  # the client has cut it: what was asked may still be answered
            await self._give_back(connection, *self._idle)  # another server may be the master now
            raise
        self._idle.append(connection)
        return answer

    async def close(self) -> None:
        """Close them and the client."""
        await close(self._client)

    async def _take(self) -> AbstractConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_connected and not await connection.can_read():
                return connection
            await self._give_back(connection)  # the server has closed it
        taken: AbstractConnection = await self._client.connection_pool.get_connection()
        if self._connected is None:
            return taken
        try:
            await taken.send_command("INFO", "server")
            told = await taken.read_response(disable_decoding=True)
        except BaseException:
            await self._give_back(taken)
            raise
        try:
            self._connected(run_id(told))
        except BaseException:
            self._idle.append(taken)
            raise
        return taken

    async def _give_back(self, *connections: AbstractConnection) -> None:
        self._idle = [each for each in self._idle if each not in connections]
        for connection in connections:
            await connection.disconnect(nowait=True)
            await self._client.connection_pool.release(connection)


def run_id(told: bytes) -> bytes:
    """Of a server, in its answer to INFO; nothing if it is not there."""
    return next((line[7:].strip() for line in told.splitlines() if line.startswith(b"run_id:")), b"")
