"""Keys: list, issue, rotate, revoke. The same calls as ``/v1/admin/keys``; a secret is shown once, and never again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from gateway.api import admin_keys
from gateway.api.admin_keys import KeyId
from gateway.api.parts import Admitted, CurrentExchange, Joined, Parts
from gateway.api.query import once
from gateway.console.forms import fitting, read_form
from gateway.console.pages import HOME, from_script, page, session_of
from gateway.errors import CallerError, InvalidParameter, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.admission.key_record import KeyRecord
    from gateway.admission.principal import Admission
    from gateway.console.forms import Form

PATH = f"{HOME}/keys"
MOST = 1000
"""Keys that the list shows at most, the newest."""
OVERLAPS = (
    (0, "Now: the old secret ends at once"),
    (900, "15 minutes"),
    (3600, "1 hour"),
    (21_600, "6 hours"),
    (86_400, "24 hours"),
    (604_800, "7 days"),
)
"""Seconds that the old secret stays good, in words."""
LIFETIMES = ((30, "30 days"), (90, "90 days"), (365, "1 year"), (0, "Never"))
"""Days, in words."""

router = APIRouter(include_in_schema=False, prefix=PATH)


@router.get("")
async def keys(request: Request, joined: Joined, admission: Admitted) -> Response:
    """The keys of the caller's tenant."""
    once(request.scope)
    sought, status = request.query_params.get("q", "").strip(), request.query_params.get("status", "")
    found = await joined.keys.list(tenant=admission.principal.tenant, limit=MOST)
    now = datetime.now(UTC)
    shown = [(key, key.status(now)) for key in found if _fits(key, sought.casefold())]
    template = "_keys.html" if from_script(request.scope) else "keys.html"
    return page(
        request,
        template,
        keys=[(key, state) for key, state in shown if not status or state == status],
        all=len(found),
        most=MOST,
        q=sought,
        status=status,
        may_write="keys:write" in admission.principal.scopes,
    )


@router.get("/new")
async def new_key(request: Request, joined: Joined, admission: Admitted) -> Response:
    """The form of a new key."""
    return _form(request, joined, admission)


@router.post("")
async def issue(request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """Issue a key, and show its secret."""
    form = await read_form(request, session_of(request))
    try:
        wanted = fitting(
            admin_keys.KeyWanted,
            owner=form.text("owner"),
            plan=form.text("plan"),
            roles=form.all("role"),
            scopes=form.all("scope"),
            expires_at=_expiry(form.text("days")),
            addresses=form.lines("addresses"),
            note=form.text("note"),
        )
        issued = await admin_keys.issue_key(wanted, joined, admission, exchange)
    except CallerError as error:
        exchange.problem = error.slug
        return _form(request, joined, admission, error=error, form=form)
    return page(request, "secret.html", 201, key=issued.key, secret=issued.secret, what="issued", overlap="")


@router.get("/{key_id}")
async def key(key_id: KeyId, request: Request, joined: Joined, admission: Admitted) -> Response:
    """One key, and what can be done with it."""
    return await _detail(request, joined, admission, key_id)


@router.post("/{key_id}/rotate")
async def rotate(
    key_id: KeyId, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """Give a key a new secret, and show it."""
    form = await read_form(request, session_of(request))
    overlap = form.text("overlap")
    rotation = fitting(admin_keys.Rotation, overlap_seconds=int(overlap) if overlap.isdecimal() else -1)
    try:
        issued = await admin_keys.rotate_key(key_id, joined, admission, exchange, rotation)
    except CallerError as error:
        exchange.problem = error.slug
        return await _detail(request, joined, admission, key_id, error)
    said = dict(OVERLAPS).get(rotation.overlap_seconds, "") if rotation.overlap_seconds else ""
    return page(request, "secret.html", key=issued.key, secret=issued.secret, what="rotated", overlap=said)


@router.post("/{key_id}/revoke")
async def revoke(
    key_id: KeyId, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """End a key."""
    await read_form(request, session_of(request))
    await admin_keys.revoke_key(key_id, joined, admission, exchange)
    return RedirectResponse(f"{PATH}/{key_id}", 303)


def _form(
    request: Request, joined: Parts, admission: Admission, *, error: CallerError | None = None, form: Form | None = None
) -> Response:
    grantable = joined.access.grantable | admission.principal.scopes
    roles = {name: sorted(scopes) for name, scopes in joined.access.roles.items() if scopes <= grantable}
    scopes = {name: text for name, text in joined.access.scopes.items() if name in grantable}
    plans = [(name, joined.plans[name].description) for name in sorted(joined.plans)]
    return page(
        request,
        "key_new.html",
        error.status if error else 200,
        roles=roles,
        scopes=scopes,
        plans=plans,
        lifetimes=LIFETIMES,
        error=error,
        form=form,
    )


async def _detail(
    request: Request, joined: Parts, admission: Admission, key_id: str, error: CallerError | None = None
) -> Response:
    record = await joined.keys.find(key_id)
    if record is None or record.tenant != admission.principal.tenant:
        raise NotFound("No such key")
    now = datetime.now(UTC)
    return page(
        request,
        "key.html",
        error.status if error else 200,
        key=record,
        status=record.status(now),
        secrets=_good(record, now),
        overlaps=OVERLAPS,
        scopes=joined.access.scopes,
        may_write="keys:write" in admission.principal.scopes,
        own=record.key_id == admission.principal.key_id,
        error=error,
    )


def _good(record: KeyRecord, now: datetime) -> Sequence[datetime | None]:
    """When each secret that is good now ends; None is with the key."""
    return [secret.expires_at for secret in record.secrets if secret.expires_at is None or secret.expires_at > now]


def _fits(key: KeyRecord, sought: str) -> bool:
    return not sought or any(sought in text.casefold() for text in (key.key_id, key.owner, key.note, key.plan))


def _expiry(days: str) -> datetime | None:
    if not days.isdecimal() or len(days) > 4:
        raise InvalidParameter("Choose when the key expires", parameter="days")
    return datetime.now(UTC) + timedelta(days=int(days)) if int(days) else None
