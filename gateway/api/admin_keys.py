"""/v1/admin/keys: issue, list, rotate, revoke. Within the caller's own tenant; another's keys do not exist for it.

A change is on record twice: that it was begun, before it is made, so that none is made while the audit log is away; and
what it was, before its answer.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway.admission.key_record import MAX_ADDRESSES, MAX_SCOPES, NewKey
from gateway.admission.key_store import MAX_OVERLAP
from gateway.api.describe import ALWAYS, OF_RESOURCES, problems
from gateway.api.parts import Admitted, CurrentExchange, Joined, Parts
from gateway.api.query import once
from gateway.audit.events import AuditEvent, KeyRevoked, KeyRotated, RequestStarted
from gateway.audit.events import KeyIssued as KeyIssuedEvent
from gateway.errors import InvalidParameter

if TYPE_CHECKING:
    from gateway.admission.key_record import KeyRecord
    from gateway.admission.principal import Admission
    from gateway.api.exchange import Exchange

router = APIRouter(tags=["administration"], prefix="/v1/admin/keys")
KeyId = Annotated[str, Path(pattern=r"^key_[0-9A-Za-z]{12}$", description="The key's public ID")]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class _Strict(BaseModel):
    """What is not named here cannot be set (OWASP API3:2023, mass assignment)."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyWanted(_Strict):
    """A key to be issued. Its tenant is its issuer's."""

    owner: str = Field(min_length=1, max_length=200, description="The named person or system it belongs to")
    plan: Name = Field(description="A plan of policies/plans.yaml")
    roles: list[Name] = Field(default=[], max_length=MAX_SCOPES, description="Roles of policies/access.yaml")
    scopes: list[Name] = Field(default=[], max_length=MAX_SCOPES, description="Single scopes, besides the roles'")
    expires_at: AwareDatetime | None = Field(default=None, description="When it ends; never if absent")
    addresses: list[Name] = Field(default=[], max_length=MAX_ADDRESSES, description="Networks it works from (CIDR)")
    note: str = Field(default="", max_length=500, description="Why it exists")


class Rotation(_Strict):
    """How to change over to a new secret."""

    overlap_seconds: int = Field(
        default=0, ge=0, le=int(MAX_OVERLAP.total_seconds()), description="How long the secrets before it stay good"
    )


class KeyEntry(BaseModel):
    """A key, without its secret."""

    key_id: str
    owner: str
    tenant: str
    scopes: list[str]
    plan: str
    status: str = Field(description="`active`, `expired` or `revoked`")
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    addresses: list[str]
    note: str


class KeyList(BaseModel):
    """Keys, the newest first."""

    keys: list[KeyEntry]


class KeyIssued(BaseModel):
    """A key with its secret, which is shown this once."""

    key: KeyEntry
    secret: str = Field(description="The API key. It is not stored and cannot be shown again")


class ListQuery(_Strict):
    """How much to list."""

    limit: int = Field(default=100, ge=1, le=1000)


@router.get("", summary="List keys", responses=problems(*ALWAYS, InvalidParameter))
async def list_keys(
    request: Request, query: Annotated[ListQuery, Query()], joined: Joined, admission: Admitted
) -> KeyList:
    """The keys of the caller's tenant."""
    once(request.scope)
    found = await joined.keys.list(tenant=admission.principal.tenant, limit=query.limit)
    return KeyList(keys=[_entry(record) for record in found])


@router.post("", summary="Issue a key", status_code=201, responses=problems(*ALWAYS, InvalidParameter))
async def issue_key(wanted: KeyWanted, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> KeyIssued:
    """Make a key for the caller's tenant."""
    if wanted.plan not in joined.plans:
        raise InvalidParameter(f"No such plan; there are: {', '.join(sorted(joined.plans))}", parameter="plan")
    scopes = joined.access.expand(roles=wanted.roles, scopes=wanted.scopes)
    joined.access.check_grant(admission.principal, scopes)
    new = NewKey(
        owner=wanted.owner,
        tenant=admission.principal.tenant,
        scopes=scopes,
        plan=wanted.plan,
        expires_at=wanted.expires_at,
        addresses=tuple(wanted.addresses),
        note=wanted.note,
        created_by=admission.principal.key_id,
    )
    await _begin(joined, admission)
    record, issued = await joined.keys.issue(new)
    event = KeyIssuedEvent(
        *_who(admission),
        key=record.key_id,
        key_tenant=record.tenant,
        scopes=tuple(sorted(record.scopes)),
        plan=record.plan,
        expires=record.expires_at.astimezone(UTC).isoformat() if record.expires_at else "",
    )
    await _end(joined, exchange, event)
    return KeyIssued(key=_entry(record), secret=issued.text)


@router.post("/{key_id}/rotate", summary="Give a key a new secret", responses=problems(*ALWAYS, *OF_RESOURCES))
async def rotate_key(
    key_id: KeyId, joined: Joined, admission: Admitted, exchange: CurrentExchange, rotation: Rotation | None = None
) -> KeyIssued:
    """The key keeps its ID, scopes and windows."""
    seconds = (rotation or Rotation()).overlap_seconds
    if (present := await joined.keys.find(key_id)) is not None and present.tenant == admission.principal.tenant:
        joined.access.check_grant(admission.principal, present.scopes)
    await _begin(joined, admission)
    record, issued = await joined.keys.rotate(
        key_id, overlap=timedelta(seconds=seconds), tenant=admission.principal.tenant
    )
    event = KeyRotated(*_who(admission), key=record.key_id, key_tenant=record.tenant, overlap_seconds=seconds)
    await _end(joined, exchange, event)
    return KeyIssued(key=_entry(record), secret=issued.text)


@router.post("/{key_id}/revoke", summary="End a key now", responses=problems(*ALWAYS, *OF_RESOURCES))
async def revoke_key(key_id: KeyId, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> KeyEntry:
    """For good. Every gateway process refuses it within a second."""
    await _begin(joined, admission)
    record = await joined.keys.revoke(key_id, tenant=admission.principal.tenant)
    await _end(joined, exchange, KeyRevoked(*_who(admission), key=record.key_id, key_tenant=record.tenant))
    return _entry(record)


async def _begin(joined: Parts, admission: Admission) -> None:
    await joined.recorder.record(RequestStarted(*_who(admission), route=admission.route, address=admission.address))


async def _end(joined: Parts, exchange: Exchange, event: AuditEvent) -> None:
    await joined.recorder.record(event)
    exchange.recorded = True


def _who(admission: Admission) -> tuple[str, str, str]:
    """The first three fields of every event."""
    return admission.request_id, admission.principal.key_id, admission.principal.tenant


def _entry(record: KeyRecord) -> KeyEntry:
    return KeyEntry(
        key_id=record.key_id,
        owner=record.owner,
        tenant=record.tenant,
        scopes=sorted(record.scopes),
        plan=record.plan,
        status=record.status(datetime.now(UTC)),
        created_at=record.created_at,
        created_by=record.created_by,
        expires_at=record.expires_at,
        revoked_at=record.revoked_at,
        last_used_at=record.last_used_at,
        addresses=list(record.addresses),
        note=record.note,
    )
