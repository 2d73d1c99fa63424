"""Step 7 of 7: by which policies a process works, and which of them are not what they were."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gateway.audit.events import SYSTEM, PolicyChanged, PolicyLoaded
from gateway.audit.search import Filters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.audit.events import AuditEvent
    from gateway.audit.reader import AuditReader
    from gateway.audit.recorder import Recorder


async def record_policies(audit: AuditReader, recorder: Recorder, digests: Mapping[str, str]) -> None:
    """Put on record what this process works by, and before that each change since a process last said so.

    Of several processes that start at once each one may find the same change, and say so.

    Args:
        audit: The log.
        recorder: Where it goes on record.
        digests: Name to SHA-256 of each policy.

    Raises:
        AuditUnavailable: The log cannot be read or written.
    """
    found = await audit.newest(Filters(type=PolicyLoaded.type_name), None, 1)
    previous = found[0].fields.get("digests") if found else None
    for event in changes(previous if isinstance(previous, dict) else None, digests):
        await recorder.record(event)
    await recorder.record(PolicyLoaded("", SYSTEM, "", process=os.getpid(), digests=dict(digests)))


def changes(previous: Mapping[str, str] | None, digests: Mapping[str, str]) -> list[AuditEvent]:
    """An event for each policy that differs; none where nothing was on record before."""
    if previous is None:
        return []
    names = sorted(set(previous) | set(digests))
    return [
        PolicyChanged("", SYSTEM, "", name, digests.get(name, ""), previous.get(name, ""))
        for name in names
        if digests.get(name, "") != previous.get(name, "")
    ]
