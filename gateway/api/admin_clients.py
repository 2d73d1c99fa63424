"""/v1/admin/clients: register, list, disable, enable, remove clients. Within the caller's own tenant, as with keys.

A change is on record twice: that it was begun, before it is made, so that none is made while the audit log is away; and
what it was, before its answer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.admission.administrator import Administrator
from gateway.admission.client_changes import ClientChanges
from gateway.admission.client_record import MAX_CLIENT_SCOPES, NewClient
from gateway.api.describe import ALWAYS, OF_RESOURCES, problems
from gateway.api.on_record import begin
from gateway.api.parts import Admitted, CurrentExchange, Joined, Parts
from gateway.api.query import Moment, once
from gateway.errors import InvalidParameter

if TYPE_CHECKING:
    from gateway.admission.client_record import ClientRecord

router = APIRouter(tags=["administration"], prefix="/v1/admin/clients")
ClientId = Annotated[str, Path(pattern=r"^client_[0-9A-Za-z]{12}$", description="The client's public ID")]
Name = Annotated[str, Field(min_length=1, max_length=64)]
_Set = Annotated[dict[str, Any] | None, Field(description="Its public keys: a JWK set of RS384 or ES384 keys")]
_Url = Annotated[str, Field(max_length=1000, description="Or where they are: the https URL of a JWK set")]


class _Strict(BaseModel):
    """What is not named here cannot be set (OWASP API3:2023, mass assignment)."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KeysWanted(_Strict):
    """A client's public keys: a set, or where one is."""

    jwks: _Set = None
    jwks_url: _Url = ""


class ClientWanted(KeysWanted):
    """A client to be registered. Its tenant is its registrar's."""

    owner: str = Field(min_length=1, max_length=200, description="The named person or system it belongs to")
    plan: Name = Field(description="A plan of policies/plans.yaml")
    roles: list[Name] = Field(default=[], max_length=MAX_CLIENT_SCOPES, description="Roles of policies/access.yaml")
    scopes: list[Name] = Field(
        default=[], max_length=MAX_CLIENT_SCOPES, description="Single scopes, besides the roles'"
    )
    expires_at: Moment | None = Field(default=None, description="When it ends; never if absent")
    note: str = Field(default="", max_length=500, description="Why it exists")


class ClientEntry(BaseModel):
    """A client."""

    client_id: str
    owner: str
    tenant: str
    scopes: list[str]
    plan: str
    status: str = Field(description="`active`, `expired`, `disabled` or `removed`")
    jwks: dict[str, Any] | None
    jwks_url: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    note: str


class ClientList(BaseModel):
    """Clients, the newest first."""

    clients: list[ClientEntry]


class ListQuery(_Strict):
    """How much to list."""

    limit: int = Field(default=100, ge=1, le=1000)


@router.get("", summary="List clients", responses=problems(*ALWAYS, InvalidParameter))
async def list_clients(
    request: Request, query: Annotated[ListQuery, Query()], joined: Joined, admission: Admitted
) -> ClientList:
    """The clients of the caller's tenant, but for those that were removed."""
    once(request.scope)
    found = await joined.clients.list(tenant=admission.principal.tenant, limit=query.limit)
    return ClientList(clients=[_entry(record) for record in found])


@router.post("", summary="Register a client", status_code=201, responses=problems(*ALWAYS, InvalidParameter))
async def register_client(
    wanted: ClientWanted, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> ClientEntry:
    """For the caller's tenant. It signs in at `/oauth/token` with an assertion that one of its keys signed."""
    new = NewClient(
        owner=wanted.owner,
        tenant=admission.principal.tenant,
        scopes=joined.access.expand(roles=wanted.roles, scopes=wanted.scopes),
        plan=wanted.plan,
        jwks=wanted.jwks,
        jwks_url=wanted.jwks_url,
        expires_at=wanted.expires_at,
        note=wanted.note,
        created_by=admission.principal.key_id,
    )
    record = await _changes(joined).register(await begin(joined, admission), new)
    exchange.recorded = True
    return _entry(record)


@router.get("/{client_id}", summary="Show a client", responses=problems(*ALWAYS, *OF_RESOURCES))
async def show_client(client_id: ClientId, joined: Joined, admission: Admitted) -> ClientEntry:
    """Removed ones too: their names stay on record."""
    return _entry(await _changes(joined).find(Administrator.of(admission), client_id))


@router.put("/{client_id}/keys", summary="Give a client other keys", responses=problems(*ALWAYS, *OF_RESOURCES))
async def replace_keys(
    client_id: ClientId, wanted: KeysWanted, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> ClientEntry:
    """Those before count no more. Tokens that were given go on to their end: disable the client to end them."""
    by = await begin(joined, admission)
    record = await _changes(joined).replace_keys(by, client_id, wanted.jwks, wanted.jwks_url)
    exchange.recorded = True
    return _entry(record)


@router.post("/{client_id}/disable", summary="Disable a client", responses=problems(*ALWAYS, *OF_RESOURCES))
async def disable_client(
    client_id: ClientId, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> ClientEntry:
    """Every gateway process refuses it and its tokens within a second."""
    by = await begin(joined, admission)
    record = await _changes(joined).disable(by, client_id)
    exchange.recorded = True
    return _entry(record)


@router.post("/{client_id}/enable", summary="Enable a client", responses=problems(*ALWAYS, *OF_RESOURCES))
async def enable_client(
    client_id: ClientId, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> ClientEntry:
    """It may come in again; so may those of its tokens that have not ended by themselves."""
    by = await begin(joined, admission)
    record = await _changes(joined).enable(by, client_id)
    exchange.recorded = True
    return _entry(record)


@router.delete(
    "/{client_id}",
    summary="Remove a client",
    status_code=204,
    response_class=Response,
    responses=problems(*ALWAYS, *OF_RESOURCES),
)
async def remove_client(
    client_id: ClientId, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """For good. Every gateway process refuses it and its tokens within a second."""
    await _changes(joined).remove(await begin(joined, admission), client_id)
    exchange.recorded = True
    return Response(status_code=204)


def _changes(joined: Parts) -> ClientChanges:
    return ClientChanges(joined.clients, joined.access, joined.plans, joined.recorder)


def _entry(record: ClientRecord) -> ClientEntry:
    return ClientEntry(
        client_id=record.client_id,
        owner=record.owner,
        tenant=record.tenant,
        scopes=sorted(record.scopes),
        plan=record.plan,
        status=record.status(datetime.now(UTC)),
        jwks=dict(record.jwks) if record.jwks is not None else None,
        jwks_url=record.jwks_url,
        created_at=record.created_at,
        created_by=record.created_by,
        expires_at=record.expires_at,
        last_used_at=record.last_used_at,
        note=record.note,
    )
