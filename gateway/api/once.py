"""Before the routes: an ``Idempotency-Key`` on a call that makes something and tells a secret: done once, told once.

Sent again, such a call is not done again, and the secret is not told again either: it is kept nowhere. The answer says
so (409), names what was made, and the request that made it. POST /v1/predict does this itself, with its whole answer.
All other calls may be sent again as they are: the header changes nothing there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import ClientDisconnect

from gateway.admission.idempotency import HEADER, read_key
from gateway.api.exchange import exchange_of
from gateway.api.problems import problem_response
from gateway.errors import AlreadyDone, GatewayError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.admission.idempotency import Claim, Idempotency
    from gateway.admission.principal import Admission

ROUTES = frozenset(
    {
        "POST /v1/admin/keys",
        "POST /v1/admin/keys/{key_id}/rotate",
        "POST /v1/admin/break-glass",
        "POST /v1/admin/clients",
    }
)
_NAMES = ("key_id", "client_id")
"""Of an answer, what names the thing that was made. Nothing else of it is kept."""
_NAME = HEADER.lower().encode()


class OnceMiddleware:
    """Inside of the recording: a refusal is on record as any answer is.

    Args:
        app: The routes.
        idempotency: Who has which key.
    """

    def __init__(self, app: ASGIApp, idempotency: Idempotency) -> None:
        self.app = app
        self.idempotency = idempotency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        admission: Admission | None = scope.get("state", {}).get("admission")
        if admission is None or admission.route not in ROUTES:
            await self.app(scope, receive, send)
            return
        keys = [value.decode("latin-1") for name, value in scope["headers"] if name == _NAME]
        if not keys:
            await self.app(scope, receive, send)
            return
        try:
            key = read_key(keys)
            body = await _whole(receive)
            parts = (admission.route.encode(), scope["path"].encode(), scope["query_string"], body)
            fingerprint = self.idempotency.fingerprint(*parts)
            claim = await self.idempotency.claim(
                admission.principal.tenant, str(key), fingerprint, admission.request_id
            )
            if claim.answer is not None:
                exchange_of(scope).replay_of = claim.request_id
                raise AlreadyDone(
                    "An earlier request with this Idempotency-Key did this; what it told is not told again",
                    first_request=claim.request_id,
                    **orjson.loads(claim.answer),
                )
        except GatewayError as error:
            await problem_response(scope, error)(scope, receive, send)
            return
        await self._do(claim, body, scope, receive, send)

    async def _do(self, claim: Claim, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = exchange_of(scope).request_id
        told, status = bytearray(), 0

        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return unread.pop() if unread else await receive()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and status < 300:
                told.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    await self.idempotency.keep(claim, orjson.dumps(_named(bytes(told))), request_id)
            await send(message)

        try:
            await self.app(scope, again, answer)
        finally:
            if not 200 <= status < 300:
                await asyncio.shield(self.idempotency.give_up(claim))


async def _whole(receive: Receive) -> bytes:
    """The body; its size and time are bounded around ``receive``."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _named(told: bytes) -> dict[str, str]:
    """What was made, by its public name."""
    try:
        document: Any = orjson.loads(told)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(document, dict):
        return {}
    parts = [part for part in (document, *document.values()) if isinstance(part, dict)]
    return {name: part[name] for part in parts for name in _NAMES if isinstance(part.get(name), str)}
