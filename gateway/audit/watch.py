"""Step 7 of 7: verifies the newest part of the log again and again, so that a change to it is found within minutes.

The first look takes the newest records, each later one those that were added since. All of a long log takes hours: that
is for ``cordon audit verify``, by the calendar. What any verification of this process finds is known here.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Literal

import structlog

from gateway.errors import NotFound

if TYPE_CHECKING:
    from gateway.audit.reader import AuditReader
    from gateway.audit.verify import Report

log = structlog.get_logger(__name__)

State = Literal["unknown", "ok", "broken"]
STATES: tuple[State, ...] = ("unknown", "ok", "broken")

NEWEST = 10_000
"""Records of the first look."""
_TURN_SECONDS = 1.0  # most time of one look
_PAGE = 50  # rows between which the loop is free: a millisecond or two


class ChainWatch:
    """What is known of the chain.

    Args:
        reader: Of the log; its ``on_verified`` is taken.

    Attributes:
        state: What the last verification found. ``broken`` stays until the whole log was found good.
        at: When that was, Unix time; 0 before the first.
    """

    def __init__(self, reader: AuditReader) -> None:
        self.state: State = "unknown"
        self.at = 0.0
        self._reader = reader
        self._after: int | None = None
        reader.on_verified = self._note

    async def look(self) -> None:
        """Verify what has been added since the last look.

        Raises:
            AuditUnavailable: The log cannot be read.
        """
        last, _ = await self._reader.reach()
        after = max(0, last - NEWEST) if self._after is None else self._after
        loop = asyncio.get_running_loop()
        until = loop.time() + _TURN_SECONDS
        try:
            report = await self._reader.verify(after=after, page=_PAGE, enough=lambda: loop.time() > until)
        except NotFound:  # the record up to which all was good is gone
            report = await self._reader.verify(page=_PAGE, enough=lambda: loop.time() > until)
            if self._after is not None and report.given_up < self._after:
                self._break("a record that was verified before is missing")
        self._after = max(report.last, report.given_up)

    def _note(self, report: Report) -> None:
        self.at = time.time()
        if not report.good:
            faulty = [name for name, verdict in report.verdicts.items() if not verdict.good]
            self._break(", ".join(faulty))
        elif self.state != "broken" or (report.after == 0 and report.whole):
            self.state = "ok"

    def _break(self, why: str) -> None:
        if self.state != "broken":
            log.critical("audit.chain-broken", why=why)
        self.state = "broken"
