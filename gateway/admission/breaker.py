"""Step 1 of 7: stops asking a Redis that does not answer, and tries it again after a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Breaker:
    """Closed until ``failures`` calls in a row have failed; then open for ``seconds``; then one call may try.

    Args:
        failures: Calls in a row.
        seconds: How long it stays open.
        now: A monotonic clock, seconds.
    """

    def __init__(self, *, failures: int = 5, seconds: float = 2.0, now: Callable[[], float] = time.monotonic) -> None:
        self._most = failures
        self._seconds = seconds
        self._now = now
        self._failed = 0
        self._open_until: float | None = None

    @property
    def open(self) -> bool:
        """Whether calls are held back, but for a trial."""
        return self._open_until is not None

    def allows(self) -> bool:
        """Whether this call may be made. Its outcome must be told by ``succeeded`` or ``failed``.

        The one call that may try pushes the time of the next trial on, so that no second one goes with it, and none is
        lost if its outcome is never told.
        """
        if self._open_until is None:
            return True
        if self._now() < self._open_until:
            return False
        self._open_until = self._now() + self._seconds
        return True

    def succeeded(self) -> bool:
        """A call was answered. True if that closed the breaker."""
        closed = self._open_until is not None
        self._failed, self._open_until = 0, None
        return closed

    def failed(self) -> bool:
        """A call was not answered. True if that opened the breaker."""
        self._failed += 1
        if self._open_until is None and self._failed < self._most:
            return False
        opened = self._open_until is None
        self._open_until = self._now() + self._seconds
        return opened
