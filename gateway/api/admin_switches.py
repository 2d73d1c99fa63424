"""/v1/admin/switches: switch a key, a tenant, a model or everything off, and on again.

The rules are ``admission/switch_admin.py``'s.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.admission.administrator import Administrator
from gateway.admission.switch_admin import ALL
from gateway.admission.switches import Kind, SwitchReason
from gateway.api.describe import ALWAYS, OF_RESOURCES, problems
from gateway.api.on_record import begin
from gateway.api.parts import Admitted, CurrentExchange, Joined

if TYPE_CHECKING:
    from gateway.admission.switches import Switch

__all__ = ["ALL", "router"]

router = APIRouter(tags=["administration"], prefix="/v1/admin/switches")
Name = Annotated[str, Path(min_length=1, max_length=128, description="The tenant, key ID or model; `all` for all")]


class SwitchOff(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: SwitchReason = Field(description="A code; it goes on record")
    note: str = Field(default="", max_length=500, description="A sentence for the other operators; not on record")


class SwitchEntry(BaseModel):
    """Something that is off."""

    kind: Kind
    name: str
    reason: SwitchReason
    note: str
    switched_by: str
    switched_at: datetime


class SwitchList(BaseModel):
    """What is off, the newest first."""

    switches: list[SwitchEntry]


@router.get("", summary="List what is switched off", responses=problems(*ALWAYS))
async def list_switches(joined: Joined, admission: Admitted) -> SwitchList:
    """What concerns the caller: everything, models, its own tenant and keys; all of it for holders of switches:all."""
    found = await joined.administration.switches.list(Administrator.of(admission))
    return SwitchList(switches=[_entry(switch) for switch in found])


@router.put("/{kind}/{name}", summary="Switch off", responses=problems(*ALWAYS, *OF_RESOURCES))
async def switch_off(
    kind: Kind, name: Name, wanted: SwitchOff, *, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> SwitchEntry:
    """Every gateway process holds to it within a second. What is running goes on to its end."""
    by = await begin(joined, admission)
    switch = await joined.administration.switches.turn_off(by, kind, name, reason=wanted.reason, note=wanted.note)
    exchange.recorded = True
    return _entry(switch)


@router.delete(
    "/{kind}/{name}",
    summary="Switch on",
    status_code=204,
    response_class=Response,
    responses=problems(*ALWAYS, *OF_RESOURCES),
)
async def switch_on(kind: Kind, name: Name, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """What is on stays on."""
    by = await begin(joined, admission)
    await joined.administration.switches.turn_on(by, kind, name)
    exchange.recorded = True
    return Response(status_code=204)


def _entry(switch: Switch) -> SwitchEntry:
    return SwitchEntry(
        kind=switch.kind,
        name=switch.name,
        reason=switch.reason,
        note=switch.note,
        switched_by=switch.switched_by,
        switched_at=switch.switched_at,
    )
