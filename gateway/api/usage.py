"""GET /v1/usage: what the caller itself has used, and what it may use."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from gateway.admission.usage_store import Asked
from gateway.api.describe import ALWAYS, problems
from gateway.api.parts import Admitted, Joined
from gateway.api.query import once
from gateway.api.usage_answer import Period, UsageEntry, entry
from gateway.errors import InvalidParameter

MOST_DAYS = 400

router = APIRouter(tags=["usage"])


class WindowEntry(BaseModel):
    """At most so many requests, by cost, within any so many seconds."""

    name: str
    limit: int
    seconds: float


class Limits(BaseModel):
    """What the caller may use. What is left of it is in the RateLimit header of this very answer."""

    plan: str
    windows: list[WindowEntry] = Field(description="All of them hold at once; none is no limit")
    concurrency: int | None = Field(description="Requests at once; null is no limit")


class OwnUsage(BaseModel):
    """The caller's own usage, the newest day first."""

    key_id: str
    limits: Limits
    usage: list[UsageEntry] = Field(description="Days without a request are absent. About a second behind")


@router.get("/v1/usage", summary="See one's own usage and limits", responses=problems(*ALWAYS, InvalidParameter))
async def own_usage(
    request: Request, query: Annotated[Period, Query()], joined: Joined, admission: Admitted
) -> OwnUsage:
    """Of the credential that asks; any credential may. At most 400 days, the newest."""
    once(request.scope)
    principal = admission.principal
    first, last = query.days()
    rows = await joined.usage.find(Asked(first, last, principal.tenant, principal.key_id), None, MOST_DAYS)
    plan = joined.plans.of(principal.plan, principal.limits)
    windows = [WindowEntry(name=each.name, limit=each.limit, seconds=each.seconds) for each in plan.windows]
    limits = Limits(plan=principal.plan, windows=windows, concurrency=plan.concurrency)
    return OwnUsage(key_id=principal.key_id, limits=limits, usage=[entry(row) for row in rows])
