"""Step 1 of 7: registers and changes clients, for the HTTP API and the command alike. Each change is on record.

The rules are those of keys: nobody makes a client stronger than themselves (``check_grant``), and what needs a second
pair of eyes for a key is not given to a client over HTTP at all.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Literal

from gateway.audit.events import ClientChanged, ClientRegistered
from gateway.errors import Forbidden, InvalidParameter, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.admission.access import AccessPolicy
    from gateway.admission.administrator import Administrator
    from gateway.admission.client_record import ClientRecord, NewClient
    from gateway.admission.client_store import ClientStore
    from gateway.admission.plans import Plans
    from gateway.audit.recorder import Recorder


class ClientChanges:
    """Whoever asks.

    Args:
        store: The truth.
        access: Knows scopes, and who may give them.
        plans: Knows plans.
        recorder: Must hold a change before its caller is told of it.
    """

    def __init__(self, store: ClientStore, access: AccessPolicy, plans: Plans, recorder: Recorder) -> None:
        self._store = store
        self._access = access
        self._plans = plans
        self._recorder = recorder

    def check(self, by: Administrator, new: NewClient) -> None:
        """Whether this client may be registered by them; before anything is on record or stored.

        Raises:
            InvalidParameter: No such scope or plan.
            Forbidden: A scope that is not theirs to give.
        """
        if new.plan not in self._plans:
            raise InvalidParameter(f"No such plan; there are: {', '.join(sorted(self._plans))}", parameter="plan")
        self._check_grant(by, self._access.expand(scopes=new.scopes))

    async def register(self, by: Administrator, new: NewClient) -> ClientRecord:
        """See ``ClientStore.register`` and ``check``."""
        self.check(by, new)
        record = await self._store.register(new)
        event = ClientRegistered(
            *by.who,
            client=record.client_id,
            client_tenant=record.tenant,
            scopes=tuple(sorted(record.scopes)),
            plan=record.plan,
            keys="stored" if record.jwks is not None else "url",
            expires=record.expires_at.astimezone(UTC).isoformat() if record.expires_at else "",
        )
        await self._recorder.record(event)
        return record

    async def find(self, by: Administrator, client_id: str) -> ClientRecord:
        """The client. Raises NotFound: none, or one of another tenant."""
        record = await self._store.find(client_id)
        if record is None or by.within not in (None, record.tenant):
            raise NotFound("No such client")
        return record

    async def disable(self, by: Administrator, client_id: str) -> ClientRecord:
        """Its tokens end within a second. Whoever may see a client may stop it."""
        return await self._record(by, "disable", await self._store.disable(client_id, tenant=by.within))

    async def enable(self, by: Administrator, client_id: str) -> ClientRecord:
        """Hands out its scopes, as registering it does."""
        self._check_grant(by, (await self.find(by, client_id)).scopes)
        return await self._record(by, "enable", await self._store.enable(client_id, tenant=by.within))

    async def remove(self, by: Administrator, client_id: str) -> ClientRecord:
        """For good."""
        return await self._record(by, "remove", await self._store.remove(client_id, tenant=by.within))

    async def replace_keys(
        self, by: Administrator, client_id: str, jwks: Mapping[str, Any] | None, jwks_url: str
    ) -> ClientRecord:
        """Hands out its scopes to whoever holds the new keys."""
        self._check_grant(by, (await self.find(by, client_id)).scopes)
        changed = await self._store.replace_keys(client_id, jwks=jwks, jwks_url=jwks_url, tenant=by.within)
        return await self._record(by, "keys", changed)

    def _check_grant(self, by: Administrator, scopes: Iterable[str]) -> None:
        if by.at_the_machine:
            return
        scopes = frozenset(scopes)
        self._access.check_grant(by, scopes)
        if self._access.four_eyes.guards(scopes):
            raise Forbidden("A scope that needs a second pair of eyes is given to clients at the machine alone")

    async def _record(
        self, by: Administrator, action: Literal["disable", "enable", "remove", "keys"], record: ClientRecord
    ) -> ClientRecord:
        await self._recorder.record(ClientChanged(*by.who, record.client_id, record.tenant, action))
        return record
