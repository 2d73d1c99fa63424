"""Step 5 of 7: copies of requests for a version on trial. Nobody waits for it, and nobody is given its answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from inference_client.client import Inference

Outcome = Literal["same", "different", "failed", "dropped"]


class Shadows:
    """The copies of one process.

    Args:
        at_once: Most copies that run at a time. What comes while so many run is dropped: under load the trial gets
            fewer copies, and takes no more of the model server.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._running: set[asyncio.Task[None]] = set()

    def copy(
        self,
        ask: Callable[[], Awaitable[Inference]],
        same: Callable[[Inference], Awaitable[bool]],
        tell: Callable[[Outcome], None],
    ) -> None:
        """Ask, compare, tell; all of it later. Returns at once and never raises.

        Args:
            ask: Asks the version on trial; bounded in time.
            same: Whether it says what the caller was told.
            tell: Told the outcome, once.
        """
        if len(self._running) >= self._at_once:
            tell("dropped")
            return
        task = asyncio.create_task(_compare(ask, same, tell))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """End those that run."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)


async def _compare(
    ask: Callable[[], Awaitable[Inference]],
    same: Callable[[Inference], Awaitable[bool]],
    tell: Callable[[Outcome], None],
) -> None:
    try:
        outcome: Outcome = "same" if await same(await ask()) else "different"
    except Exception:  # noqa: BLE001 - an answer that cannot be compared is the trial's failure, and no one else's
        outcome = "failed"
    tell(outcome)
