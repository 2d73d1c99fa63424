"""Step 1 of 7: what administrators may do with keys, requests for keys and switches, joined for who serves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gateway.admission.client_store import ClientStore
from gateway.admission.key_admin import KeyAdministration
from gateway.admission.key_approval import KeyApproval
from gateway.admission.key_requests import KeyRequests
from gateway.admission.switch_admin import SwitchAdministration

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from gateway.admission.access import AccessPolicy
    from gateway.admission.changes import Changes
    from gateway.admission.key_admin import Record
    from gateway.admission.key_store import KeyStore
    from gateway.admission.keys import KeyMaker
    from gateway.admission.plans import Plans
    from gateway.admission.switches import Switches


@dataclass(frozen=True, slots=True)
class Administration:
    """The rules of ``key_admin.py``, ``key_approval.py`` and ``switch_admin.py`` over one database."""

    keys: KeyAdministration
    approval: KeyApproval
    switches: SwitchAdministration

    @classmethod
    def of(
        cls,
        engine: AsyncEngine,
        *,
        keys: KeyStore,
        switches: Switches,
        maker: KeyMaker,
        access: AccessPolicy,
        plans: Plans,
        recorder: Record,
        changes: Changes | None,
    ) -> Self:
        """Join them."""
        requests = KeyRequests(engine, changes=changes)
        return cls(
            KeyAdministration(keys=keys, requests=requests, maker=maker, access=access, plans=plans, recorder=recorder),
            KeyApproval(keys=keys, requests=requests, access=access, plans=plans, recorder=recorder),
            SwitchAdministration(switches, keys, recorder, ClientStore(engine)),
        )
