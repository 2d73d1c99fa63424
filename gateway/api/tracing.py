"""Around all steps: the trace of each request, where traces are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from structlog.contextvars import bind_contextvars

from gateway.api.correlation import traceparent
from gateway.api.exchange import CLIENT_GONE, exchange_of
from inference_client.trace import TRACEPARENT

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.telemetry.tracing import Tracer


class TracingMiddleware:
    """Begins the span, and says its trace in the log's lines; inside of ``ContextMiddleware``.

    Args:
        app: What is behind it.
        tracer: Makes spans.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self.app = app
        self.tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        named = traceparent(scope["headers"])
        traced = self.tracer.begin(exchange, named[0] if named else None)
        TRACEPARENT.set(traced.traceparent)
        bind_contextvars(trace_id=traced.trace_id)
        status = CLIENT_GONE

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, answer)
        finally:
            self.tracer.end(traced, exchange, status)
