"""Step 1 of 7: something small in SQL that every request asks for: read once for all, known for a moment."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Known = TypeVar("Known")


@dataclass(slots=True)
class _Look(Generic[Known]):
    """When a look began, and what it found or will find."""

    began: float
    found: asyncio.Task[Known]


class Recent(Generic[Known]):
    """What was last read, trusted for ``seconds`` from when the look at it began.

    Many who ask share one look, and its failure: while the database hangs, each waits for one time-out, not for those
    of all who came before.

    Args:
        read: Reads it; bounded in time.
        seconds: 0 to 1.
        monotonic: Seconds.
    """

    def __init__(
        self,
        read: Callable[[], Coroutine[None, None, Known]],
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._monotonic = monotonic
        self._look: _Look[Known] | None = None

    async def get(self) -> Known:
        """What is known. Raises what ``read`` raises; the next who asks tries again."""
        now = self._monotonic()
        look = self._look
        if look is None or now - look.began >= self._seconds:
            look = self._look = _Look(now, asyncio.create_task(self._read()))
            look.found.add_done_callback(_seen)
        try:
            # Shielded: a caller who goes away must not take the look from those who share it.
            return await asyncio.shield(look.found)
        except Exception:
            if self._look is look:
                self._look = None
            raise

    def forget(self) -> None:
        """Read anew for whoever asks next."""
        self._look = None


def _seen(task: asyncio.Task[Known]) -> None:
    """A failure that nobody waits for any more is no defect."""
    if not task.cancelled():
        task.exception()
