"""After step 7: an object on its way to its caller, piece by piece: a slow reader holds it, counted, for a while only.

A body that is handed to the server whole leaves this process's hands at once and waits in the server's buffer: nobody
counts it there. Handed over in small pieces, each waits until the caller has read the one before.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from gateway.respond.deidentified import ObjectAnswer

log = structlog.get_logger(__name__)

CHUNK_BYTES = 256 * 2**10


class ObjectResponse(Response):
    """The answer with an object in it.

    Args:
        answer: The object and its header fields.
        seconds: Longest that the caller may take to read it; then the connection is closed.
    """

    def __init__(self, answer: ObjectAnswer, seconds: float) -> None:
        super().__init__(headers=answer.headers | {"Content-Length": str(answer.size)})
        self._pieces = answer.pieces
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """See ASGI.

        Raises:
            starlette.requests.ClientDisconnect: The caller did not read it in time.
        """
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with asyncio.timeout(self._seconds):
                for piece in self._pieces:
                    for start in range(0, len(piece), CHUNK_BYTES):
                        chunk = piece[start : start + CHUNK_BYTES]
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body"})
        except TimeoutError:
            log.info("http.answer-not-read", seconds=self._seconds)
            raise ClientDisconnect from None
