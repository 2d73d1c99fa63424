"""What waits for a second pair of eyes: approve, reject, withdraw. The same calls as ``/v1/admin/key-requests``."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from gateway.admission.administrator import Administrator
from gateway.api import admin_key_requests
from gateway.api.key_documents import RequestId
from gateway.api.parts import Admitted, CurrentExchange, Joined
from gateway.console.forms import read_form
from gateway.console.pages import HOME, page, session_of

PATH = f"{HOME}/requests"
MOST = 200
"""Requests that are shown at most, the newest."""

router = APIRouter(include_in_schema=False, prefix=PATH)


@router.get("")
async def requests(request: Request, joined: Joined, admission: Admitted) -> Response:
    """Those for keys of the caller's tenant, what waits first."""
    by = Administrator.of(admission)
    found = await joined.administration.approval.list(by, limit=MOST)
    now = datetime.now(UTC)
    told = sorted(((each, each.status(now)) for each in found), key=lambda pair: pair[1] != "pending")
    return page(
        request,
        "requests.html",
        requests=told,
        mine={each.request_id for each in found if each.requested_by == by.key_id or by.is_person(each.person)},
        guarded=joined.access.four_eyes.scopes,
    )


@router.post("/{request_id}/approve")
async def approve(
    request_id: RequestId, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """Put what was asked for into force."""
    await read_form(request, session_of(request))
    await admin_key_requests.approve(request_id, joined, admission, exchange)
    return RedirectResponse(PATH, 303)


@router.post("/{request_id}/reject")
async def reject(
    request_id: RequestId, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """Close it."""
    await read_form(request, session_of(request))
    await admin_key_requests.reject(request_id, joined, admission, exchange)
    return RedirectResponse(PATH, 303)


@router.post("/{request_id}/withdraw")
async def withdraw(
    request_id: RequestId, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """Take one's own back."""
    await read_form(request, session_of(request))
    await admin_key_requests.withdraw(request_id, joined, admission, exchange)
    return RedirectResponse(PATH, 303)
