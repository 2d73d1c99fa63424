"""Step 1 of 7: the second pair of eyes: who may approve, reject or withdraw which request for a key.

    approve    another person with another credential, who could give the key's scopes themselves; the one who asked
               must still be one who may ask
    reject     anyone who may approve, and of their own request too
    withdraw   the one who asked

A request that nobody decided in time is void at that moment; it is closed, on record, when requests are next looked at.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.admission import key_events
from gateway.admission.four_eyes import APPROVE, WRITE
from gateway.audit.events import SYSTEM
from gateway.errors import Conflict, Forbidden

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admission.access import AccessPolicy
    from gateway.admission.administrator import Administrator
    from gateway.admission.key_admin import Record
    from gateway.admission.key_record import KeyRecord
    from gateway.admission.key_request import Decision, KeyRequest
    from gateway.admission.key_requests import KeyRequests
    from gateway.admission.key_store import KeyStore
    from gateway.admission.plans import Plans


class KeyApproval:
    """The requests, as administrators may decide them.

    Args:
        keys: The tables of keys.
        requests: The table of what waits.
        access: Roles, scopes, four eyes.
        plans: The plans.
        recorder: The audit log.
        now: The clock, in UTC.
    """

    def __init__(
        self,
        *,
        keys: KeyStore,
        requests: KeyRequests,
        access: AccessPolicy,
        plans: Plans,
        recorder: Record,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = keys
        self._requests = requests
        self._access = access
        self._plans = plans
        self._recorder = recorder
        self._now = now

    async def list(self, by: Administrator, *, limit: int = 1000) -> tuple[KeyRequest, ...]:
        """The requests that there are for them, decided ones too, the newest first."""
        await self._close_void(by)
        return await self._requests.list(tenant=by.within, limit=limit)

    async def approve(self, by: Administrator, request_id: str) -> tuple[KeyRequest, KeyRecord]:
        """Put what was asked for into force.

        Raises:
            Conflict: It was decided already, is void, or the one who asked may not ask for it any more.
            Forbidden: They asked for it themselves, or it is not theirs to give.
            InvalidParameter: What it asks for cannot be done any more.
            NotFound: No such request for them.
            PreconditionFailed: The key was changed since it was asked for.
        """
        request = await self._open(by, request_id)
        self._check_may_decide(by)
        if by.key_id == request.requested_by or by.is_person(request.person):
            raise Forbidden("Another person must approve this, with a credential of their own")
        if not by.at_the_machine:
            self._access.check_grant(by, request.new.scopes)
        await self._check_requester(request)
        self._plans.check(request.new.plan, request.new.limits)
        decided, record = await self._requests.approve(request, by=by.key_id)
        await self._recorder.record(key_events.decided(by.who, decided))
        await self._recorder.record(key_events.in_force(by.who, decided, record))
        return decided, record

    async def reject(self, by: Administrator, request_id: str) -> KeyRequest:
        """Close it without doing anything.

        Raises:
            Conflict: It was decided already, or is void.
            Forbidden: They may not decide.
            NotFound: No such request for them.
        """
        request = await self._open(by, request_id)
        self._check_may_decide(by)
        return await self._close(by, request, "rejected")

    async def withdraw(self, by: Administrator, request_id: str) -> KeyRequest:
        """Close one's own. Raises as ``reject`` does; another's request is not theirs to withdraw."""
        request = await self._open(by, request_id)
        if by.key_id != request.requested_by:
            raise Forbidden("Only the one who asked can withdraw this")
        return await self._close(by, request, "withdrawn")

    async def _open(self, by: Administrator, request_id: str) -> KeyRequest:
        await self._close_void(by)
        request = await self._requests.existing(request_id, tenant=by.within)
        if request.decision is not None:
            raise Conflict(f"The request is {request.decision} already")
        return request

    async def _close(self, by: Administrator, request: KeyRequest, decision: Decision) -> KeyRequest:
        decided = await self._requests.close(request, decision, by=by.key_id)
        await self._recorder.record(key_events.decided(by.who, decided))
        return decided

    async def _close_void(self, by: Administrator) -> None:
        for request in await self._requests.expire(by=SYSTEM):
            await self._recorder.record(key_events.decided((by.request_id, SYSTEM, ""), request))

    def _check_may_decide(self, by: Administrator) -> None:
        if not by.at_the_machine and APPROVE not in by.scopes:
            raise Forbidden(f"This needs the scope {APPROVE}", scope=APPROVE)

    async def _check_requester(self, request: KeyRequest) -> None:
        """Of an API key it is known what it may do now. A token is not: its request stands until it is void."""
        if not request.requested_by.startswith("key_"):
            return
        requester = await self._keys.find(request.requested_by)
        good = requester is not None and requester.status(self._now()) == "active" and WRITE in requester.scopes
        if requester is None or not good or not self._access.may_grant(requester, request.new.scopes):
            raise Conflict("The one who asked may not ask for this any more: reject it")
