"""The batch tool: all inputs through one function, so many at a time as keep all workers busy and memory bounded."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from gateway.batch.items import Item
    from gateway.batch.outcome import Outcome


class InFlight:
    """Lets no more than a number of bytes be in memory at once; one input alone may be larger."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Wait until ``size`` bytes fit, and hold them during the block."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._held or self._held + size <= self._most)
            self._held += size
        try:
            yield
        finally:
            self._held -= size
            async with self._changed:
                self._changed.notify_all()


async def drive(
    items: Iterable[Item], handle: Callable[[Item], Awaitable[Outcome]], note: Callable[[Outcome], None], lanes: int
) -> None:
    """Handle every item; note each outcome as it comes.

    Args:
        items: The inputs.
        handle: Does one. What it raises ends all.
        note: Told of each outcome, one at a time.
        lanes: How many are handled at a time.
    """
    waiting = iter(items)

    async def lane() -> None:
        for item in waiting:
            note(await handle(item))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(lanes):
                group.create_task(lane())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
