"""How the gateway is: its parts, its models, what is switched off, and the audit log."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.api.admin_switches import list_switches
from gateway.api.parts import Admitted, Joined
from gateway.console import hour
from gateway.console.charts import traffic
from gateway.console.pages import HOME, from_script, page

router = APIRouter(include_in_schema=False)

WORDS = {
    "keys": ("Key store", "Who may come in"),
    "audit": ("Audit log", "Without it nothing is inferred"),
    "limiter": ("Limiter", "Windows and concurrency, in Redis"),
}


@router.get(HOME)
async def overview(request: Request, joined: Joined, admission: Admitted) -> Response:
    """The first page."""
    rights = admission.principal.scopes
    ready = await joined.health.readiness()
    off = (await list_switches(joined, admission)).switches if "switches:read" in rights else None
    used = await traffic(joined.usage, admission.principal.tenant) if "usage:read" in rights else None
    reach = await joined.audit.reach() if "audit:read" in rights else None
    over_all = "models:read" in rights  # what tenants share
    template = "_overview.html" if from_script(request.scope) else "overview.html"
    models = [(await joined.models.serving.expected(name), state) for name, state in ready.models.items()]
    return page(
        request,
        template,
        ready=ready,
        words=WORDS,
        models=models,
        off=off,
        traffic=used,
        reach=reach,
        hour=hour.drawn(joined.history.minutes()) if over_all else None,
        queue=hour.queue(joined) if over_all else None,
        servings=await hour.servings(joined) if over_all else [],
        policies=hour.POLICIES,
    )
