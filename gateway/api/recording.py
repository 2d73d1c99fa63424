"""Step 7 of 7, at the door: no admitted request is answered before the audit log holds how it ended.

The pipeline records its own requests, with what only it knows. Whatever else is admitted (a body that cannot be read, a
parameter that does not fit, the models, the administration) is recorded here, before the answer's first byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from starlette.requests import ClientDisconnect

from gateway.api.exchange import CLIENT_GONE, exchange_of
from gateway.api.problems import as_gateway_error, problem_response
from gateway.audit.events import BreakGlassUsed, RequestFinished

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.admission.principal import Admission
    from gateway.api.exchange import Exchange
    from gateway.audit.events import Outcome
    from gateway.audit.recorder import Recorder

log = structlog.get_logger(__name__)


class RecordingMiddleware:
    """If the record cannot be written, its error is the answer in place of the route's."""

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self.app = app
        self.recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        admission: Admission | None = scope.get("state", {}).get("admission")
        if scope["type"] != "http" or admission is None:
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        if admission.principal.break_glass:
            await self._say(admission)
        replaced = False

        async def recorded(message: Message) -> None:
            nonlocal replaced
            if replaced:
                return
            if message["type"] == "http.response.start" and not exchange.recorded:
                try:
                    await self.recorder.record(ended(admission, exchange, message["status"]))
                except Exception as error:  # noqa: BLE001 - no record, so no answer
                    replaced = True
                    await problem_response(scope, as_gateway_error(error))(scope, receive, send)
                    return
                exchange.recorded = True
            await send(message)

        try:
            await self.app(scope, receive, recorded)
        except ClientDisconnect:
            if not exchange.recorded:
                exchange.problem = "client-gone"
                await self.recorder.record(ended(admission, exchange, CLIENT_GONE))
            raise

    async def _say(self, admission: Admission) -> None:
        """Sound the alarm: nobody uses a key for an emergency unheard."""
        who = admission.request_id, admission.principal.key_id, admission.principal.tenant
        reason = admission.principal.break_glass
        log.critical("admission.break-glass-used", reason=reason, route=admission.route)
        await self.recorder.record(
            BreakGlassUsed(*who, route=admission.route, address=admission.address, reason=reason)
        )


def ended(admission: Admission, exchange: Exchange, status: int) -> RequestFinished:
    """How a request ended of which nothing more is known."""
    outcome: Outcome = "success" if status < 400 else "refused" if status < CLIENT_GONE else "failed"
    return RequestFinished(
        request_id=admission.request_id,
        actor=admission.principal.key_id,
        tenant=admission.principal.tenant,
        route=admission.route,
        address=admission.address,
        outcome=outcome,
        status=status,
        problem=exchange.problem,
        replay_of=exchange.replay_of,
        milliseconds={"total": round(exchange.seconds * 1000)},
    )
