"""/v1/admin/break-glass: a key for an emergency. The rules are ``admission/break_glass.py``'s."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.admission.break_glass import BreakGlassWanted
from gateway.api.describe import ALWAYS, problems
from gateway.api.key_documents import Emergency, KeyIssued, handed_over
from gateway.api.on_record import begin
from gateway.api.parts import Admitted, CurrentExchange, Joined
from gateway.errors import InvalidParameter

router = APIRouter(tags=["administration"], prefix="/v1/admin/break-glass")


@router.post("", summary="Issue a key for an emergency", status_code=201, responses=problems(*ALWAYS, InvalidParameter))
async def break_glass(wanted: Emergency, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> KeyIssued:
    """At once, for hours, and everyone hears of it: its issue and each of its uses."""
    by = await begin(joined, admission)
    handed = await joined.administration.keys.break_glass(
        by,
        BreakGlassWanted(wanted.owner, by.tenant, frozenset(wanted.scopes), wanted.reason, wanted.note, wanted.minutes),
    )
    exchange.recorded = True
    return handed_over(handed)
