"""Around all steps: begins the exchange, sets the headers that every answer has, and writes the one log line.

The log line holds the route's template and no path: paths, queries and header values may identify a patient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from asgi_correlation_id import correlation_id
from starlette.datastructures import MutableHeaders
from structlog.contextvars import bind_contextvars, clear_contextvars

from gateway.api.correlation import new_request_id, traceparent
from gateway.api.exchange import CLIENT_GONE, Exchange, begin
from gateway.errors import Overloaded, ShuttingDown, SwitchedOff
from inference_client.trace import TRACEPARENT

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.draining import Draining

log = structlog.get_logger(__name__)

SECURITY_HEADERS = {
    # An answer is about a patient: nothing in between may keep it (ASVS 5.0 14.3.2).
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
HSTS = "max-age=63072000; includeSubDomains"
_KEEPS_ALIVE = frozenset({"1.0", "1.1"})
_BY_PLAN = frozenset({Overloaded.slug, ShuttingDown.slug, SwitchedOff.slug})
"""503s that are no errors: someone was told to come later, on purpose, as with a 429."""


class ContextMiddleware:
    """Inside of asgi-correlation-id's middleware, which decides the request's ID and puts it on the answer."""

    def __init__(self, app: ASGIApp, draining: Draining) -> None:
        self.app = app
        self.draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})  # there are none; the server answers 403
                return
            await self.app(scope, receive, send)
            return

        exchange = begin(scope, correlation_id.get() or new_request_id())
        clear_contextvars()
        bind_contextvars(request_id=exchange.request_id)
        trace = traceparent(scope["headers"])
        TRACEPARENT.set(trace[0] if trace else "")
        if trace is not None:
            exchange.headers.append(("traceparent", trace[0]))
            bind_contextvars(trace_id=trace[1])
        status = CLIENT_GONE

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                _set_headers(headers, exchange, scope)
                if self.draining.on and scope["http_version"] in _KEEPS_ALIVE:
                    headers["Connection"] = "close"  # the next request is to find another process
            await send(message)

        try:
            await self.app(scope, receive, answer)
        finally:
            _access_line(exchange, status)


def _set_headers(headers: MutableHeaders, exchange: Exchange, scope: Scope) -> None:
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)  # a page with a policy of its own keeps it
    if scope["scheme"] == "https":
        headers["Strict-Transport-Security"] = HSTS
    for name, value in exchange.headers:
        headers[name] = value
    headers["Server-Timing"] = server_timing(exchange.steps | {"total": exchange.seconds})
    if exchange.body_pending and scope["http_version"] in _KEEPS_ALIVE:
        # The rest of the body is not read: without this the server would drain it to reuse the connection.
        headers["Connection"] = "close"


def server_timing(steps: dict[str, float]) -> str:
    """``ingest;dur=1.2, total;dur=8.0``: milliseconds by step (W3C Server Timing)."""
    return ", ".join(f"{step};dur={seconds * 1000:.1f}" for step, seconds in steps.items())


def _access_line(exchange: Exchange, status: int) -> None:
    principal = exchange.principal
    log.log(
        40 if status >= 500 and exchange.problem not in _BY_PLAN else 20,
        "http.answered",
        route=exchange.route,
        status=status,
        problem=exchange.problem,
        milliseconds=round(exchange.seconds * 1000, 1),
        bytes_in=exchange.bytes_in,
        key_id=principal.key_id if principal else "",
        tenant=principal.tenant if principal else "",
    )
