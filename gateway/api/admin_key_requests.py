"""/v1/admin/key-requests: changes of keys that wait for a second pair of eyes: list, approve, reject, withdraw.

The rules are ``admission/key_approval.py``'s.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from gateway.admission.administrator import Administrator
from gateway.api.admin_keys import ListQuery
from gateway.api.describe import ALWAYS, OF_RESOURCES, problems
from gateway.api.key_documents import KeyChanged, RequestEntry, RequestId, RequestList, entry, request_entry
from gateway.api.on_record import begin
from gateway.api.parts import Admitted, CurrentExchange, Joined
from gateway.api.query import once
from gateway.errors import Conflict, InvalidParameter, PreconditionFailed

router = APIRouter(tags=["administration"], prefix="/v1/admin/key-requests")


@router.get("", summary="List requests for keys", responses=problems(*ALWAYS, InvalidParameter))
async def list_requests(
    request: Request, query: Annotated[ListQuery, Query()], joined: Joined, admission: Admitted
) -> RequestList:
    """Those for keys of the caller's tenant, decided ones too."""
    once(request.scope)
    found = await joined.administration.approval.list(Administrator.of(admission), limit=query.limit)
    return RequestList(requests=[request_entry(each) for each in found])


@router.post(
    "/{request_id}/approve",
    summary="Approve a request",
    responses=problems(*ALWAYS, *OF_RESOURCES, Conflict, PreconditionFailed),
)
async def approve(request_id: RequestId, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> KeyChanged:
    """What was asked for holds from now on. Nobody approves what they asked for themselves."""
    by = await begin(joined, admission)
    request, record = await joined.administration.approval.approve(by, request_id)
    exchange.recorded = True
    return KeyChanged(key=entry(record), request=request_entry(request))


@router.post("/{request_id}/reject", summary="Reject a request", responses=problems(*ALWAYS, *OF_RESOURCES, Conflict))
async def reject(request_id: RequestId, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> RequestEntry:
    """Nothing of it is done."""
    by = await begin(joined, admission)
    request = await joined.administration.approval.reject(by, request_id)
    exchange.recorded = True
    return request_entry(request)


@router.post(
    "/{request_id}/withdraw", summary="Withdraw a request", responses=problems(*ALWAYS, *OF_RESOURCES, Conflict)
)
async def withdraw(
    request_id: RequestId, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> RequestEntry:
    """One's own."""
    by = await begin(joined, admission)
    request = await joined.administration.approval.withdraw(by, request_id)
    exchange.recorded = True
    return request_entry(request)
