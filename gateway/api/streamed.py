"""After step 7: an answer that is made while it is sent, as long as its caller goes on reading it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

if TYPE_CHECKING:
    from starlette.types import Send

log = structlog.get_logger(__name__)


class StreamedText(StreamingResponse):
    """Pieces of text.

    Args:
        pieces: Each is asked for when the one before is sent.
        seconds: Longest that one piece may wait for its reader; then the connection is closed.
        options: As ``StreamingResponse`` takes them.
    """

    def __init__(self, pieces: Any, *, seconds: float, **options: Any) -> None:
        super().__init__(pieces, **options)
        self._seconds = seconds

    async def stream_response(self, send: Send) -> None:
        """See Starlette.

        Raises:
            starlette.requests.ClientDisconnect: The caller stopped reading.
        """
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for piece in self.body_iterator:
                body = str(piece).encode(self.charset)
                async with asyncio.timeout(self._seconds):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
        except TimeoutError:
            log.info("http.answer-not-read", seconds=self._seconds)
            raise ClientDisconnect from None
        await send({"type": "http.response.body"})
