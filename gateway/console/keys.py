"""Keys: list, show, update, rotate, revoke. The same calls as ``/v1/admin/keys``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from gateway.admission.administrator import Administrator
from gateway.api import admin_keys
from gateway.api.key_documents import KeyId, KeyPatch, Rotation
from gateway.api.parts import Admitted, CurrentExchange, Joined, Parts
from gateway.api.query import once
from gateway.console.charts import traffic
from gateway.console.forms import expiry, fitting, read_form
from gateway.console.issuing import handed
from gateway.console.pages import HOME, from_script, page, session_of
from gateway.errors import CallerError

if TYPE_CHECKING:
    from gateway.admission.key_record import KeyRecord
    from gateway.admission.principal import Admission
    from gateway.console.forms import Form

PATH = f"{HOME}/keys"
MOST = 1000
"""Keys that the list shows at most, the newest."""
OVERLAPS = (
    (0, "now"),
    (900, "after 15 minutes"),
    (3600, "after 1 hour"),
    (21_600, "after 6 hours"),
    (86_400, "after 24 hours"),
    (604_800, "after 7 days"),
)
"""Seconds that the old secret stays good, in words."""
KEEP = "keep"

router = APIRouter(include_in_schema=False, prefix=PATH)


@router.get("")
async def keys(request: Request, joined: Joined, admission: Admitted) -> Response:
    """The keys of the caller's tenant."""
    once(request.scope)
    sought, status = request.query_params.get("q", "").strip(), request.query_params.get("status", "")
    found = await joined.administration.keys.list(Administrator.of(admission), limit=MOST)
    now = datetime.now(UTC)
    shown = [(key, key.status(now)) for key in found if _fits(key, sought.casefold())]
    return page(
        request,
        "_keys.html" if from_script(request.scope) else "keys.html",
        keys=[(key, state) for key, state in shown if not status or state == status],
        all=len(found),
        most=MOST,
        q=sought,
        status=status,
    )


@router.get("/{key_id}")
async def key(key_id: KeyId, request: Request, joined: Joined, admission: Admitted) -> Response:
    """One key, and what can be done with it."""
    once(request.scope)
    return await _detail(request, joined, admission, key_id)


@router.post("/{key_id}/update")
async def update(
    key_id: KeyId, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """Change what may be changed; a change that someone else made meanwhile is not overwritten."""
    form = await read_form(request, session_of(request))
    try:
        present = await joined.administration.keys.show(Administrator.of(admission), key_id)
        patch = fitting(KeyPatch, **_patch(form, dict(present.limits)))
        done = await admin_keys.update_key(
            key_id,
            patch,
            joined=joined,
            admission=admission,
            exchange=exchange,
            response=Response(),
            if_match=f'"{form.text("revision")}"',
        )
    except CallerError as error:
        exchange.problem = error.slug
        return await _detail(request, joined, admission, key_id, error=error, form=form)
    return RedirectResponse(f"{HOME}/requests" if done.request else f"{PATH}/{key_id}?done=updated", 303)


@router.post("/{key_id}/rotate")
async def rotate(
    key_id: KeyId, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """Give a key a new secret, and show it."""
    form = await read_form(request, session_of(request))
    overlap = form.text("overlap")
    try:
        rotation = fitting(Rotation, overlap_seconds=int(overlap) if overlap.isdecimal() and len(overlap) < 8 else -1)
        issued = await admin_keys.rotate_key(key_id, joined, admission, exchange, rotation)
    except CallerError as error:
        exchange.problem = error.slug
        return await _detail(request, joined, admission, key_id, error=error)
    return handed(request, issued, overlap=rotation.overlap_seconds)


@router.post("/{key_id}/revoke")
async def revoke(
    key_id: KeyId, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """End a key."""
    await read_form(request, session_of(request))
    await admin_keys.revoke_key(key_id, joined, admission, exchange)
    return RedirectResponse(f"{PATH}/{key_id}?done=revoked", 303)


async def _detail(
    request: Request,
    joined: Parts,
    admission: Admission,
    key_id: str,
    *,
    error: CallerError | None = None,
    form: Form | None = None,
) -> Response:
    by = Administrator.of(admission)
    record = await joined.administration.keys.show(by, key_id)
    now = datetime.now(UTC)
    plan = joined.plans.of(record.plan, record.limits) if record.plan in joined.plans else None
    used = await traffic(joined.usage, by.tenant, key_id) if "usage:read" in by.scopes else None
    return page(
        request,
        "key.html",
        error.status if error else 200,
        key=record,
        status=record.status(now),
        secrets=[each.expires_at for each in record.secrets if each.expires_at is None or each.expires_at > now],
        overlaps=OVERLAPS,
        scopes=joined.access.scopes,
        plan=plan,
        plans=sorted(joined.plans),
        givable={*joined.access.grantable, *by.scopes},
        traffic=used,
        own=record.key_id == by.key_id,
        done=request.query_params.get("done", ""),
        error=error,
        form=form,
    )


def _patch(form: Form, limits: dict[str, int]) -> dict[str, Any]:
    """What the form says, as the API's merge patch. The form holds all fields; those that are the same change nothing.

    Args:
        form: As it was filled in.
        limits: The key's own, as they are: those that the form does not name are the plan's again.

    Raises:
        InvalidParameter, MalformedBody: It does not fit.
    """
    patch: dict[str, Any] = {
        "owner": form.text("owner"),
        "note": form.text("note"),
        "plan": form.text("plan"),
        "scopes": form.all("scope"),
        "addresses": form.lines("addresses") or None,
        "limits": dict.fromkeys(limits) | form.numbers("limits"),
    }
    if form.text("days") != KEEP:
        patch["expires_at"] = expiry(form.text("days"))
    return patch


def _fits(key: KeyRecord, sought: str) -> bool:
    return not sought or any(sought in text.casefold() for text in (key.key_id, key.owner, key.note, key.plan))
