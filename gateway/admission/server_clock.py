"""Step 1 of 7: a server's clock, held against this process's own, which is never set.

Each answer tells the server's time at some moment between the asking and the answer. So the two clocks' distance has a
lowest and a highest value, as in NTP (RFC 5905 section 8), and every quick answer brings them closer together. A time
that lies outside of them was not reached by waiting: the clock was put forward or back, or it is another server's.
"""

from __future__ import annotations

from typing import NamedTuple

SLEW = 0.0005
"""By how much clocks may run apart without one of them being set: the most that the kernel slews one (adjtimex(2))."""

LATE_US = 20_000
"""How long after it was sent a call may reach the server. One that comes later is to be sent anew."""

SHARP_US = 10_000
"""How well the distance of the clocks must be known."""

_NEVER = 2**53 - 1  # the largest number that Lua holds exactly


class Span(NamedTuple):
    """Between which times, in microseconds, a call that is sent now must reach the server."""

    earliest: int
    latest: int


class ServerClock:
    """What is known of one. All times are microseconds; ours are monotonic."""

    def __init__(self) -> None:
        self.forgotten = 0
        """How often all that was known was given up."""
        self._low: tuple[float, int] | None = None  # the distance at the least, and when that was so
        self._high: tuple[float, int] | None = None

    @property
    def sharp(self) -> bool:
        """Whether the distance is known well enough to decide by."""
        return self._low is not None and self._high is not None and self._high[0] - self._low[0] <= SHARP_US

    def span(self, begin: int) -> Span:
        """For a call that is sent now. Anything, if nothing is known."""
        if self._low is None or self._high is None:
            return Span(0, _NEVER)
        (low, low_at), (high, high_at) = self._low, self._high
        drift = SLEW * (begin - min(low_at, high_at))
        return Span(int(begin + low - drift) - 1, int(begin + high + drift) + LATE_US)

    def jumped(self, at: int, begin: int, end: int) -> bool:
        """Whether the server's clock cannot have come to ``at`` between our ``begin`` and ``end`` by running alone."""
        if self._low is None or self._high is None:
            return False
        return at - begin < self._least(begin) - 1 or at - end > self._most(end) + 1

    def heard(self, at: int, begin: int, end: int) -> None:
        """Learn from an answer."""
        if self._low is None or at - end > self._least(end):
            self._low = at - end, end
        if self._high is None or at - begin < self._most(begin):
            self._high = at - begin, begin

    def forget(self) -> None:
        """It was set, or it is another server's now."""
        self._low = self._high = None
        self.forgotten += 1

    def _least(self, now: int) -> float:
        assert self._low is not None
        return self._low[0] - SLEW * abs(now - self._low[1])

    def _most(self, now: int) -> float:
        assert self._high is not None
        return self._high[0] + SLEW * abs(now - self._high[1])
