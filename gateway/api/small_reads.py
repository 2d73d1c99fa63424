"""HTTP: reads as much of a connection at once as its state is worth: little until a request is let in, then much.

uvloop reads up to 256 KB a connection before any of them is looked at. A thousand strangers whose bodies wait behind
their heads would be held in memory together; so a head is read in small pieces, and what follows it waits in the kernel
until the application asks for the body.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from gateway.api.head_limit import BoundedHeadProtocol

if TYPE_CHECKING:
    from typing_extensions import Buffer


class SmallReads(asyncio.BufferedProtocol):
    """One connection: what is read of it goes to a ``BoundedHeadProtocol``. Made as uvicorn makes that.

    Attributes:
        small: Where heads are read to. Shared: what was read is taken out before the next connection is read.
        large: Where bodies are.
        http: What is made of it.
    """

    http: ClassVar[type[BoundedHeadProtocol]] = BoundedHeadProtocol
    small: ClassVar[bytearray] = bytearray(8 * 2**10)
    large: ClassVar[bytearray] = bytearray(256 * 2**10)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._http = self.http(*arguments, **options)
        self._buffer = self.small

    @override
    def get_buffer(self, sizehint: int) -> Buffer:
        self._buffer = self.small if self._http.awaits_head() else self.large
        return self._buffer

    @override
    def buffer_updated(self, nbytes: int) -> None:
        self._http.data_received(bytes(memoryview(self._buffer)[:nbytes]))

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._http.connection_made(transport)  # type: ignore[arg-type] # as in uvicorn's own

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._http.connection_lost(exc)

    @override
    def eof_received(self) -> None:
        self._http.eof_received()

    @override
    def pause_writing(self) -> None:
        self._http.pause_writing()

    @override
    def resume_writing(self) -> None:
        self._http.resume_writing()
