"""An event loop whose clock jumps to the next timer: hours pass in milliseconds, and each run is like the last."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class _Jumping(selectors.SelectSelector):
    """Waits for nothing: the loop's clock goes on by as much as it would have waited."""

    at = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.at += timeout or 0.0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its ``time()`` is the clock of everything that runs in it."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.at


def run_virtually(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it on such a loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
