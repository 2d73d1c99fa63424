"""Around all steps: counts each request that has ended: for its caller's usage, and for the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.admission.usage import ANONYMOUS
from gateway.api.exchange import CLIENT_GONE, exchange_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.admission.usage import UsageCounter
    from gateway.telemetry.meter import Meter


class CountingMiddleware:
    """Of callers who are not known, usage has refusals alone, all together: not who asks for /health.

    Args:
        app: What is behind it.
        usage: The counts by caller and day.
        meter: The metrics, which know no callers.
    """

    def __init__(self, app: ASGIApp, usage: UsageCounter, meter: Meter) -> None:
        self.app = app
        self.usage = usage
        self.meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = CLIENT_GONE
        self.meter.began()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, answer)
        finally:
            exchange = exchange_of(scope)
            self.meter.ended(exchange, status)
            principal = exchange.principal
            if principal is not None or status >= 400:
                self.usage.note(
                    principal.key_id if principal else ANONYMOUS,
                    principal.tenant if principal else "",
                    status=status,
                    problem=exchange.problem,
                    frames=exchange.frames,
                    bytes_in=exchange.bytes_in,
                    seconds=exchange.seconds,
                )
