"""Switches: what is off and why; off with a reason, and on again. The same calls as ``/v1/admin/switches``."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from gateway.admission.switch_admin import ALL
from gateway.admission.switches import EVERYTHING, KINDS, SwitchReason
from gateway.api import admin_switches
from gateway.api.parts import Admitted, CurrentExchange, Joined, Parts
from gateway.console.forms import fitting, read_form
from gateway.console.pages import HOME, from_script, page, session_of
from gateway.errors import CallerError, InvalidParameter

if TYPE_CHECKING:
    from gateway.admission.principal import Admission
    from gateway.admission.switches import Kind
    from gateway.console.forms import Form

PATH = f"{HOME}/switches"
REASONS = {
    "incident": "Incident",
    "maintenance": "Maintenance",
    "abuse": "Abuse",
    "leak": "A secret leaked",
    "contract": "The contract ended",
    "model-fault": "The model is at fault",
    "test": "A test",
    "other": "Another reason",
}
"""The codes of ``SwitchReason`` in words."""

router = APIRouter(include_in_schema=False, prefix=PATH)


@router.get("")
async def switches(request: Request, joined: Joined, admission: Admitted) -> Response:
    """What is off, and the form to switch something off."""
    return await _page(request, joined, admission)


@router.post("/off")
async def switch_off(request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """Switch something off."""
    form = await read_form(request, session_of(request))
    kind, _, name = form.text("target").partition(":")
    name = name or form.text("name")
    try:
        wanted = fitting(admin_switches.SwitchOff, reason=form.text("reason"), note=form.text("note"))
        await admin_switches.switch_off(
            _kind(kind), name, wanted, joined=joined, admission=admission, exchange=exchange
        )
    except CallerError as error:
        exchange.problem = error.slug
        return await _page(request, joined, admission, error=error, form=form)
    return await _done(request, joined, admission)


@router.post("/on")
async def switch_on(request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """Switch something on again."""
    form = await read_form(request, session_of(request))
    await admin_switches.switch_on(_kind(form.text("kind")), form.text("name"), joined, admission, exchange)
    return await _done(request, joined, admission)


def _kind(text: str) -> Kind:
    for kind in KINDS:
        if kind == text:
            return kind
    raise InvalidParameter(f"A switch is one of: {', '.join(KINDS)}", parameter="kind")


async def _done(request: Request, joined: Parts, admission: Admission) -> Response:
    if from_script(request.scope):
        return await _page(request, joined, admission)
    return RedirectResponse(PATH, 303)


async def _page(
    request: Request, joined: Parts, admission: Admission, *, error: CallerError | None = None, form: Form | None = None
) -> Response:
    rights = admission.principal.scopes
    may_read = "switches:read" in rights
    off = (await admin_switches.list_switches(joined, admission)).switches if may_read else []
    targets = [(f"tenant:{admission.principal.tenant}", f"My tenant, {admission.principal.tenant}")]
    if ALL in rights:
        targets = [
            (f"{EVERYTHING}:{EVERYTHING}", "Everything: no image is taken"),
            *((f"model:{model.name}", f"Model {model.name}") for model in joined.catalog),
            *targets,
        ]
    return page(
        request,
        "_switches.html" if from_script(request.scope) else "switches.html",
        error.status if error else 200,
        off=off,
        reasons=REASONS,
        targets=targets,
        may_write="switches:write" in rights,
        may_all=ALL in rights,
        error=error,
        form=form,
    )


assert set(REASONS) == set(get_args(SwitchReason))
