"""New keys, for every day and for an emergency. The secret is in the one answer that follows, and never again."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.admission.break_glass import BreakGlassReason
from gateway.api import admin_break_glass, admin_keys
from gateway.api.key_documents import Emergency, KeyWanted
from gateway.api.parts import Admitted, CurrentExchange, Joined, Parts
from gateway.console.forms import expiry, fitting, read_form
from gateway.console.pages import HOME, page, session_of
from gateway.errors import CallerError

if TYPE_CHECKING:
    from gateway.admission.principal import Admission
    from gateway.api.key_documents import KeyIssued
    from gateway.console.forms import Form

LIFETIMES = ((30, "30 days"), (90, "90 days"), (365, "1 year"), (0, "Never"))
"""Days, in words."""
REASONS = {
    "patient-care": "A patient's care",
    "incident": "An incident",
    "lockout": "Nobody else can come in",
    "downtime": "Another system is down",
    "drill": "A drill",
    "other": "Another reason",
}
"""The codes of ``BreakGlassReason`` in words."""

router = APIRouter(include_in_schema=False, prefix=HOME)


@router.get("/keys/new")
async def new_key(request: Request, joined: Joined, admission: Admitted) -> Response:
    """The form of a new key."""
    return _form(request, joined, admission)


@router.post("/keys")
async def issue(request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """Issue a key, and show its secret."""
    form = await read_form(request, session_of(request))
    try:
        wanted = fitting(
            KeyWanted,
            owner=form.text("owner"),
            plan=form.text("plan"),
            roles=form.all("role"),
            scopes=form.all("scope"),
            expires_at=expiry(form.text("days")),
            addresses=form.lines("addresses"),
            note=form.text("note"),
            limits=form.numbers("limits"),
        )
        issued = await admin_keys.issue_key(wanted, joined, admission, exchange)
    except CallerError as error:
        exchange.problem = error.slug
        return _form(request, joined, admission, error=error, form=form)
    return handed(request, issued)


@router.get("/break-glass")
async def emergency(request: Request, joined: Joined) -> Response:
    """The form of a key for an emergency."""
    return _emergency(request, joined)


@router.post("/break-glass")
async def break_glass(request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """Issue a key for an emergency, and show its secret."""
    form = await read_form(request, session_of(request))
    minutes = form.text("minutes")
    try:
        wanted = fitting(
            Emergency,
            owner=form.text("owner"),
            reason=form.text("reason"),
            note=form.text("note"),
            minutes=int(minutes) if minutes.isdecimal() and len(minutes) < 4 else None,
        )
        issued = await admin_break_glass.break_glass(wanted, joined, admission, exchange)
    except CallerError as error:
        exchange.problem = error.slug
        return _emergency(request, joined, error=error, form=form)
    return handed(request, issued)


def handed(request: Request, issued: KeyIssued, *, overlap: int | None = None) -> Response:
    """The page that shows a secret this once.

    Args:
        request: The one that made it.
        issued: The key, and what waits if anything does.
        overlap: Of a rotation, seconds that the old secret stays good.
    """
    status = 202 if issued.request else 201 if overlap is None else 200
    return page(
        request, "secret.html", status, key=issued.key, secret=issued.secret, waits=issued.request, overlap=overlap
    )


def _form(
    request: Request, joined: Parts, admission: Admission, *, error: CallerError | None = None, form: Form | None = None
) -> Response:
    givable = {*joined.access.grantable, *admission.principal.scopes}
    return page(
        request,
        "key_new.html",
        error.status if error else 200,
        roles={name: sorted(scopes) for name, scopes in joined.access.roles.items() if scopes <= givable},
        scopes={name: text for name, text in joined.access.scopes.items() if name in givable},
        plans=[(name, joined.plans[name]) for name in sorted(joined.plans)],
        guarded=joined.access.four_eyes.scopes,
        lifetimes=LIFETIMES,
        error=error,
        form=form,
    )


def _emergency(
    request: Request, joined: Parts, *, error: CallerError | None = None, form: Form | None = None
) -> Response:
    return page(
        request,
        "break_glass.html",
        error.status if error else 200,
        policy=joined.access.break_glass,
        scopes=joined.access.scopes,
        reasons=REASONS,
        error=error,
        form=form,
    )


assert set(REASONS) == set(get_args(BreakGlassReason))
