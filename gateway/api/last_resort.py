"""Around all steps: whatever escapes is answered as a problem document, and logged without values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from starlette.requests import ClientDisconnect

from gateway.api.problems import as_gateway_error, problem_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)


class LastResortMiddleware:
    """An exception that reaches the server would be printed with its message, which may quote a value."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as error:  # noqa: BLE001 - the last resort
            problem = as_gateway_error(error)
            if started:
                log.error("http.broken-off", problem=problem.slug)  # noqa: TRY400 - the line above logged the trace
                return  # the server sees an answer without its end and closes the connection
            await problem_response(scope, problem)(scope, receive, send)
