"""HTTP: a bound on the request's head, in bytes and in time, before any application code runs.

uvicorn's httptools protocol keeps every header until the head ends, and a connection that never ends its head for ever
(CWE-770; "slowloris"). The same holds for the trailers of a chunked body (RFC 9112 §7.1.2). One rule bounds both: so
many bytes may come between two steps forward, a step being the head's end, a piece of body, or the body's end.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

import orjson
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.errors import BodyTimeout, HeadTooLarge

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from gateway.errors import CallerError


class BoundedHeadProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        max_head_bytes: Largest head (request line and headers), and largest trailer section.
        head_seconds: Longest a head may take, from the connection's start or the first byte after the last request.
        first_seconds: At the server's end, how long a connection that has sent nothing yet may still begin to: its
            caller was accepted and cannot know.
        farewell_seconds: After a close, how long a caller over TLS has to say goodbye as well. It need not (RFC 8446
            §6.1), and one that is idle does not; uvloop would wait for half a minute.
    """

    max_head_bytes: ClassVar[int] = 32 * 2**10
    head_seconds: ClassVar[float] = 10.0
    first_seconds: ClassVar[float] = 0.5
    farewell_seconds: ClassVar[float] = 1.0

    _since_step = 0
    _stepped = False
    _last = False
    _head_timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn's own
        super().connection_made(transport)
        self._start_head_timer()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._stepped = False
        super().data_received(data)
        # A step may lie anywhere in the data, so what came with one is not counted: no more than one read's worth.
        self._since_step = 0 if self._stepped else self._since_step + len(data)
        if self._since_step > self.max_head_bytes:
            self._refuse(HeadTooLarge(f"The head may have at most {self.max_head_bytes} bytes"))
        elif self.awaits_head() and self._head_timer is None:
            self._start_head_timer()

    @override
    def on_headers_complete(self) -> None:
        self._stepped = True
        self._stop_head_timer()
        super().on_headers_complete()
        if self._last:
            self.cycle.keep_alive = False
        # What came with the head is held; the rest waits in the kernel until the application asks for it, or is done.
        self.flow.pause_reading()

    @override
    def on_body(self, body: bytes) -> None:
        self._stepped = True
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._stepped = True
        super().on_message_complete()

    @override
    def shutdown(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        if cycle is None and not self._last:
            self._last = True
            self.loop.call_later(self.first_seconds, self._end)
        else:
            self._end()

    def awaits_head(self) -> bool:
        """Whether what comes next belongs to a head."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is None or cycle.response_complete

    def _end(self) -> None:
        super().shutdown()
        self._leave()

    def _leave(self) -> None:
        if self.scheme == "https" and self.transport.is_closing():
            self.loop.call_later(self.farewell_seconds, self.transport.abort)

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._overdue)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _overdue(self) -> None:
        self._refuse(BodyTimeout(f"The head must arrive within {self.head_seconds:g} s"))

    def _refuse(self, error: CallerError) -> None:
        """Answer if nothing of an answer was sent yet, and close."""
        self._stop_head_timer()
        if self.transport.is_closing():
            return
        if self.awaits_head():
            request_id = str(uuid.uuid4())
            body = orjson.dumps(error.problem(request_id))
            head = (
                b"content-type: application/problem+json\r\n"
                b"content-length: %d\r\nx-request-id: %s\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(STATUS_LINE[error.status] + head % (len(body), request_id.encode("ascii")) + body)
        self.transport.close()
        self._leave()
