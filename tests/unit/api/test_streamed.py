"""An answer that is made while it is sent: whole for who reads it, cut off for who stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import ClientDisconnect

from gateway.api.streamed import StreamedText

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SCOPE = {"type": "http", "asgi": {"spec_version": "2.4"}}


class Pieces:
    """Counts how many were asked for."""

    def __init__(self, number: int) -> None:
        self.number, self.asked = number, 0

    async def __aiter__(self) -> AsyncIterator[str]:
        for _ in range(self.number):
            self.asked += 1
            yield "ä" * 10


async def never() -> Any:
    await asyncio.sleep(60)


async def test_who_reads_gets_it_whole() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await StreamedText(Pieces(3), seconds=30, media_type="text/csv")(SCOPE, never, send)
    assert sent[0]["status"] == 200
    assert b"".join(message.get("body", b"") for message in sent).decode() == "ä" * 30
    assert [message.get("more_body", False) for message in sent[1:]] == [True, True, True, False]


async def test_who_stops_reading_is_cut_off_and_nothing_more_is_made() -> None:
    pieces = Pieces(1000)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)

    with pytest.raises(ClientDisconnect):
        await StreamedText(pieces, seconds=0.05)(SCOPE, never, send)
    assert pieces.asked == 1
