"""Step 7 of 7: records sent to a receiver of audit messages, once or as they are added. On record like any export."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.audit.events import AuditRead
from gateway.audit.export import Export
from gateway.audit.exporting import exported
from gateway.audit.keys import KeyRing
from gateway.audit.syslog import SyslogForm, connect
from gateway.errors import ReceiverUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.audit.exporting import Reader
    from gateway.audit.reader import AuditReader
    from gateway.audit.recorder import Recorder
    from gateway.audit.search import Filters
    from gateway.audit.syslog import Receiver
    from gateway.settings import AuditSettings

POLL_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0


class Sending:
    """Sends records of one log to one receiver.

    Args:
        audit: The log.
        recorder: Where it goes on record.
        settings: This installation's name.
        receiver: Where to.
        who: Asked for it.
    """

    def __init__(
        self, audit: AuditReader, recorder: Recorder, settings: AuditSettings, *, receiver: Receiver, who: Reader
    ) -> None:
        self._audit = audit
        self._recorder = recorder
        self._keys = KeyRing.of(settings)
        self._form = SyslogForm(settings.source)
        self._receiver = receiver
        self._who = who
        self.records = 0
        self.last = 0

    async def send(
        self,
        filters: Filters,
        after: int = 0,
        progress: Callable[[int, int], None] = lambda _reached, _end: None,
    ) -> None:
        """Send what there is now; on return it went out, and that it did is on record.

        Args:
            filters: Which records.
            after: Only those of a greater number.
            progress: Told up to which number of which the log was read.

        Raises:
            ReceiverUnavailable: The receiver broke off. What went out is on record, as failed; ``last`` is its number.
            AuditUnavailable: The log cannot be read or written.
        """
        _, until = await self._audit.range_of(filters)
        self.last = max(self.last, after)
        who = self._who
        read = AuditRead(who.request_id, who.actor, who.tenant, "export", filters.names(), who.all_tenants)
        await self._recorder.record(read)
        export = Export(self._form, self._keys)
        whole = False
        try:
            connection = await connect(self._receiver)
            try:
                walk = self._audit.walk(filters, after, until, lambda reached: progress(reached, until))
                async for piece in export.pieces(walk):
                    await connection.send(piece)
            finally:
                await connection.close()
            whole = True
        finally:
            event = exported(who, "syslog", filters.names(), export, whole=whole)
            await asyncio.shield(self._recorder.record(event))
        self.records += export.records
        self.last = max(self.last, until)

    async def follow(self, filters: Filters, after: int = 0) -> None:
        """Go on as records are added, until cancelled. A receiver that is away is tried again, ever more slowly.

        Of a batch that broke off all is sent again: twice rather than not at all.
        """
        self.last = after
        pause = POLL_SECONDS
        while True:
            try:
                if await self._is_new(filters):
                    await self.send(filters, self.last)
                pause = POLL_SECONDS
            except ReceiverUnavailable:
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def _is_new(self, filters: Filters) -> bool:
        """Whether there is a record to send that is not of this sending's own making: else it would never end."""
        async for record in self._audit.walk(filters, self.last):
            if record.fields.get("request_id") != self._who.request_id:
                return True
        return False
