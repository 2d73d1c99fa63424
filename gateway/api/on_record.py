"""Around all steps: a change by an administrator over HTTP, on record before it is made and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.admission.administrator import Administrator
from gateway.audit.events import RequestStarted

if TYPE_CHECKING:
    from gateway.admission.principal import Admission
    from gateway.api.parts import Parts


async def begin(joined: Parts, admission: Admission) -> Administrator:
    """Who it is, once it is on record that they began: so nothing is changed while the audit log is away.

    Raises:
        AuditUnavailable: It is.
    """
    by = Administrator.of(admission)
    await joined.recorder.record(RequestStarted(*by.who, route=admission.route, address=admission.address))
    return by
