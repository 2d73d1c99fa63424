"""Before step 2: how much of a body may come, how long that may take, and how much of all bodies fits in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.errors import BodyTimeout, BodyTooLarge, MalformedBody, Overloaded

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope

    from gateway.api.exchange import Exchange
    from gateway.deadline import Deadline
    from gateway.draining import Draining

RETRY_SECONDS = 1.0


class InflightBytes:
    """The memory that all bodies of this process share, answers with an object in them included.

    For a body it is reserved before the first byte is read, for an answer before its success is recorded.

    Args:
        total: Bytes.
        largest: The largest body taken.

    One caller may hold half of it (or one largest body): slow bodies of one cannot shut out the others.
    """

    def __init__(self, total: int, largest: int) -> None:
        self.total = total
        self.held = 0
        self._share = max(total // 2, largest)
        self._by_caller: dict[str, int] = {}

    def reserve(self, caller: str, size: int) -> None:
        """Take ``size`` bytes. Raises Overloaded if they are not there now."""
        mine = self._by_caller.get(caller, 0) + size
        if self.held + size > self.total or mine > self._share:
            raise Overloaded("Too many bodies are on their way at this moment", retry_after=RETRY_SECONDS)
        self.held += size
        if mine:
            self._by_caller[caller] = mine

    def release(self, caller: str, size: int) -> None:
        """Give them back."""
        self.held -= size
        left = self._by_caller.get(caller, 0) - size
        if left:
            self._by_caller[caller] = left
        else:  # a request without a body holds nothing, and may end after the one that held all
            self._by_caller.pop(caller, None)


def expected_bytes(scope: Scope) -> int | None:
    """The size that the head announces: 0 for no body, None for one of unknown size (chunked).

    Raises:
        MalformedBody: Content-Length is not a number, or there are two (RFC 9112 §6.3).
    """
    lengths = {value for name, value in scope["headers"] if name == b"content-length"}
    chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
    if chunked and lengths:
        raise MalformedBody("Content-Length and Transfer-Encoding exclude each other")
    if chunked:
        return None
    if not lengths:
        return 0
    text = lengths.pop()
    if lengths or not text.isdigit() or len(text) > 18:
        raise MalformedBody("Content-Length must be one whole number")
    return int(text)


def too_large(limit: int) -> BodyTooLarge:
    """The one wording for both ways to find out."""
    return BodyTooLarge(f"At most {limit} bytes are taken", limit=limit)


class BoundedReceive:
    """An ASGI ``receive`` that counts the body and watches the clock.

    Args:
        receive: The server's.
        exchange: Told how much came.
        limit: Most bytes of body.
        seconds: Longest that the whole body may take, from the first wait for it.
        deadline: Until when its caller waits for an answer.
        draining: Ends the wait when the process ends.

    Raises:
        BodyTooLarge, BodyTimeout, DeadlineExceeded, ShuttingDown.
    """

    def __init__(
        self,
        receive: Receive,
        exchange: Exchange,
        *,
        limit: int,
        seconds: float,
        deadline: Deadline,
        draining: Draining,
    ) -> None:
        self._receive = receive
        self._exchange = exchange
        self._limit = limit
        self._seconds = seconds
        self._callers = deadline
        self._draining = draining
        self._deadline: float | None = None

    async def __call__(self) -> Message:
        """The next message."""
        if not self._exchange.body_pending:
            return await self._receive()  # nothing but a disconnect is left to come: no limit on the wait
        if self._deadline is None:
            seconds = min(self._seconds, self._callers.left)
            self._deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(self._deadline) as timeout:
                with self._draining.bounds(timeout):
                    message = await self._receive()
        except TimeoutError as error:
            if self._draining.cuts(error):
                raise self._draining.error() from None
            self._callers.check()
            raise BodyTimeout(f"The body did not arrive within {self._seconds:g} s") from None
        if message["type"] == "http.request":
            self._exchange.bytes_in += len(message.get("body", b""))
            if self._exchange.bytes_in > self._limit:
                raise too_large(self._limit)
            self._exchange.body_pending = message.get("more_body", False)
        return message
