"""/v1/admin/switches: switch a key, a tenant, a model or everything off, and on again.

Of their own tenant whoever has ``switches:write`` may switch the tenant and its keys; for what others share,
``switches:all`` is needed as well.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.admission.switches import Kind, SwitchReason, check_target
from gateway.api.describe import ALWAYS, OF_RESOURCES, problems
from gateway.api.parts import Admitted, CurrentExchange, Joined, Parts
from gateway.audit.events import RequestStarted, SwitchChanged
from gateway.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from gateway.admission.principal import Admission
    from gateway.admission.switches import Switch
    from gateway.api.exchange import Exchange

ALL = "switches:all"

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
    found = await joined.switches.list()
    shown = [_entry(switch) for switch in found if await _is_own(joined, admission, switch.kind, switch.name)]
    return SwitchList(switches=shown)


@router.put("/{kind}/{name}", summary="Switch off", responses=problems(*ALWAYS, *OF_RESOURCES))
async def switch_off(
    kind: Kind, name: Name, wanted: SwitchOff, *, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> SwitchEntry:
    """Every gateway process holds to it within a second. What is running goes on to its end."""
    check_target(kind, name)
    await _check(joined, admission, kind, name)
    await _begin(joined, admission)
    by = admission.principal.key_id
    switch = await joined.switches.turn_off(kind, name, reason=wanted.reason, note=wanted.note, by=by)
    await _end(joined, exchange, SwitchChanged(*_who(admission), kind, name, off=True, reason=wanted.reason))
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
    check_target(kind, name)
    await _check(joined, admission, kind, name)
    await _begin(joined, admission)
    await joined.switches.turn_on(kind, name)
    await _end(joined, exchange, SwitchChanged(*_who(admission), kind, name, off=False))
    return Response(status_code=204)


async def _check(joined: Parts, admission: Admission, kind: Kind, name: str) -> None:
    """Whether the caller may switch this. Another tenant's key does not exist for it."""
    if ALL in admission.principal.scopes:
        return
    if kind in ("all", "model"):
        raise Forbidden(f"This needs the scope {ALL}", scope=ALL)
    if not await _is_own(joined, admission, kind, name):
        raise NotFound("No such key or tenant")


async def _is_own(joined: Parts, admission: Admission, kind: Kind, name: str) -> bool:
    principal = admission.principal
    if ALL in principal.scopes or kind in ("all", "model"):
        return True
    if kind == "tenant":
        return name == principal.tenant
    record = await joined.keys.find(name)
    return record is not None and record.tenant == principal.tenant


async def _begin(joined: Parts, admission: Admission) -> None:
    await joined.recorder.record(RequestStarted(*_who(admission), route=admission.route, address=admission.address))


async def _end(joined: Parts, exchange: Exchange, event: SwitchChanged) -> None:
    await joined.recorder.record(event)
    exchange.recorded = True


def _who(admission: Admission) -> tuple[str, str, str]:
    return admission.request_id, admission.principal.key_id, admission.principal.tenant


def _entry(switch: Switch) -> SwitchEntry:
    return SwitchEntry(
        kind=switch.kind,
        name=switch.name,
        reason=switch.reason,
        note=switch.note,
        switched_by=switch.switched_by,
        switched_at=switch.switched_at,
    )
