"""Step 1 of 7: who may switch what. The rules for HTTP, command line and console alike.

Of their own tenant whoever has ``switches:write`` may switch the tenant and its keys; for what others share, which is
models and everything, ``switches:all`` is needed as well. Another tenant's keys do not exist. What is done here is on
record here, after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.admission.switches import check_target
from gateway.audit.events import SwitchChanged
from gateway.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from gateway.admission.administrator import Administrator
    from gateway.admission.client_store import ClientStore
    from gateway.admission.key_admin import Record
    from gateway.admission.key_store import KeyStore
    from gateway.admission.switches import Kind, Switch, Switches, SwitchReason

ALL = "switches:all"


class SwitchAdministration:
    """The switches, as administrators may change them.

    Args:
        switches: The table of what is off.
        keys: Knows whose key it is; not needed by the operator at the machine.
        recorder: The audit log.
        clients: Knows whose client it is: a client is switched as a key of its ID.
    """

    def __init__(
        self, switches: Switches, keys: KeyStore | None, recorder: Record, clients: ClientStore | None = None
    ) -> None:
        self._switches = switches
        self._keys = keys
        self._clients = clients
        self._recorder = recorder

    async def list(self, by: Administrator) -> tuple[Switch, ...]:
        """What concerns them: everything, models, the own tenant and its keys; the newest first."""
        found = await self._switches.list()
        return tuple([switch for switch in found if await self._is_theirs(by, switch.kind, switch.name)])

    async def turn_off(
        self, by: Administrator, kind: Kind, name: str, *, reason: SwitchReason, note: str = ""
    ) -> Switch:
        """Switch something off; again gives it the new reason.

        Raises:
            Forbidden: It is shared, and they may not.
            InvalidParameter: No such kind, or a name or note that does not fit.
            NotFound: No such key or tenant for them.
        """
        await self.check(by, kind, name)
        switch = await self._switches.turn_off(kind, name, reason=reason, note=note, by=by.key_id)
        await self._recorder.record(SwitchChanged(*by.who, kind, name, off=True, reason=reason))
        return switch

    async def turn_on(self, by: Administrator, kind: Kind, name: str) -> bool:
        """Switch something on again. Whether it was off. Raises as ``turn_off`` does."""
        await self.check(by, kind, name)
        was_off = await self._switches.turn_on(kind, name)
        await self._recorder.record(SwitchChanged(*by.who, kind, name, off=False))
        return was_off

    async def check(self, by: Administrator, kind: Kind, name: str) -> None:
        """Whether they may switch this. Raises as ``turn_off`` does."""
        check_target(kind, name)
        if by.at_the_machine or ALL in by.scopes:
            return
        if kind in ("all", "model"):
            raise Forbidden(f"This needs the scope {ALL}", scope=ALL)
        if not await self._is_theirs(by, kind, name):
            raise NotFound("No such key or tenant")

    async def _is_theirs(self, by: Administrator, kind: Kind, name: str) -> bool:
        if by.at_the_machine or ALL in by.scopes or kind in ("all", "model"):
            return True
        if kind == "tenant":
            return name == by.tenant
        store = self._clients if name.startswith("client_") else self._keys
        record = await store.find(name) if store is not None else None
        return record is not None and record.tenant == by.tenant
