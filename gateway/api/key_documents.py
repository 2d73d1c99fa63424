"""Around all steps: keys and requests for keys as documents: what is asked for, and what is answered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from gateway.admission.break_glass import MAX_MINUTES, BreakGlassReason
from gateway.admission.key_record import MAX_ADDRESSES, MAX_SCOPES
from gateway.admission.key_store import MAX_OVERLAP
from gateway.api.query import Moment

if TYPE_CHECKING:
    from gateway.admission.key_admin import Handed
    from gateway.admission.key_record import KeyRecord, NewKey
    from gateway.admission.key_request import KeyRequest

KeyId = Annotated[str, Path(pattern=r"^key_[0-9A-Za-z]{12}$", description="The key's public ID")]
RequestId = Annotated[str, Path(pattern=r"^req_[0-9A-Za-z]{12}$", description="The request's ID")]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Scope = Annotated[str, Field(min_length=1, max_length=65)]
Limit = Annotated[StrictInt, Field(ge=1, le=10**9)]

_LIMITS = "Limits in place of the plan's, by name as the RateLimit headers have them: `minute`, `inflight`, ..."


class Strict(BaseModel):
    """What is not named here cannot be set (OWASP API3:2023, mass assignment)."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyWanted(Strict):
    """A key to be issued. Its tenant is its issuer's."""

    owner: str = Field(min_length=1, max_length=200, description="The named person or system it belongs to")
    plan: Name = Field(description="A plan of policies/plans.yaml")
    roles: list[Name] = Field(default=[], max_length=MAX_SCOPES, description="Roles of policies/access.yaml")
    scopes: list[Scope] = Field(default=[], max_length=MAX_SCOPES, description="Single scopes, besides the roles'")
    expires_at: Moment | None = Field(default=None, description="When it ends; never if absent")
    addresses: list[Name] = Field(default=[], max_length=MAX_ADDRESSES, description="Networks it works from (CIDR)")
    note: str = Field(default="", max_length=500, description="Why it exists")
    limits: dict[Name, Limit] = Field(default={}, max_length=32, description=_LIMITS)


class KeyPatch(Strict):
    """A JSON merge patch (RFC 7396): what is absent stays, null takes away."""

    owner: str | None = Field(default=None, min_length=1, max_length=200, description="Not null")
    note: str | None = Field(default=None, max_length=500)
    scopes: list[Scope] | None = Field(default=None, max_length=MAX_SCOPES, description="All of them; not null")
    plan: Name | None = Field(default=None, description="Not null")
    limits: dict[Name, Limit | None] | None = Field(
        default=None, max_length=32, description=f"{_LIMITS} Null is the plan's own again, for one or for all"
    )
    expires_at: Moment | None = Field(default=None, description="Null is never")
    addresses: list[Name] | None = Field(default=None, max_length=MAX_ADDRESSES, description="Null is anywhere")

    def said(self) -> dict[str, Any]:
        """The fields that the caller named."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Rotation(Strict):
    """How to change over to a new secret."""

    overlap_seconds: StrictInt = Field(
        default=0, ge=0, le=int(MAX_OVERLAP.total_seconds()), description="How long the secrets before it stay good"
    )


class Emergency(Strict):
    """A key for an emergency."""

    owner: str = Field(min_length=1, max_length=200, description="The named person who will use it")
    reason: BreakGlassReason = Field(description="A code; it goes on record")
    note: str = Field(min_length=1, max_length=500, description="Why, in a sentence; stays with the key, not on record")
    scopes: list[Scope] = Field(
        default=[], max_length=MAX_SCOPES, description="All that the policy allows such a key, if none is named"
    )
    minutes: StrictInt | None = Field(default=None, ge=1, le=MAX_MINUTES, description="How long it lives")


class KeyEntry(BaseModel):
    """A key, without its secret."""

    key_id: str
    owner: str
    tenant: str
    scopes: list[str]
    plan: str
    limits: dict[str, int] = Field(description="Its own, in place of the plan's")
    status: str = Field(description="`active`, `expired`, `revoked`, or `waiting` for a second pair of eyes")
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    addresses: list[str]
    note: str
    break_glass: str = Field(description="Why it was made for an emergency, as a code; empty for any other key")
    revision: int = Field(description="Counts its changes; the ETag")


class RequestEntry(BaseModel):
    """A change of a key that waits for a second pair of eyes, or waited."""

    request_id: str
    kind: str = Field(description="`issue`, `update` or `rotate`")
    status: str = Field(description="`pending`, `approved`, `rejected`, `withdrawn` or `expired`")
    key_id: str
    owner: str = Field(description="This and the following as the key would have them")
    scopes: list[str]
    plan: str
    limits: dict[str, int]
    key_expires_at: datetime | None
    addresses: list[str]
    note: str
    changed: list[str] = Field(description="Of an update: what it changes")
    overlap_seconds: int
    requested_by: str
    person: str = Field(description="Whose credential it was")
    requested_at: datetime
    expires_at: datetime = Field(description="Void from then on")
    decided_by: str | None
    decided_at: datetime | None


class KeyList(BaseModel):
    """Keys, the newest first."""

    keys: list[KeyEntry]


class RequestList(BaseModel):
    """Requests, the newest first."""

    requests: list[RequestEntry]


class KeyIssued(BaseModel):
    """A key with its secret, which is shown this once."""

    key: KeyEntry
    secret: str = Field(description="The API key. It is not stored and cannot be shown again")
    request: RequestEntry | None = Field(
        default=None, description="What waits for a second pair of eyes; until then the secret is dead"
    )


class KeyChanged(BaseModel):
    """A key as it is, and what waits for a second pair of eyes."""

    key: KeyEntry
    request: RequestEntry | None = None


def entry(record: KeyRecord) -> KeyEntry:
    """The key's."""
    return KeyEntry(
        key_id=record.key_id,
        status=record.status(datetime.now(UTC)),
        created_at=record.created_at,
        revoked_at=record.revoked_at,
        last_used_at=record.last_used_at,
        revision=record.revision,
        **_as_asked(record.as_new()),
    )


def request_entry(request: KeyRequest) -> RequestEntry:
    """The request's."""
    new = request.new
    return RequestEntry(
        request_id=request.request_id,
        kind=request.kind,
        status=request.status(datetime.now(UTC)),
        key_id=request.key_id,
        owner=new.owner,
        scopes=sorted(new.scopes),
        plan=new.plan,
        limits=dict(new.limits),
        key_expires_at=new.expires_at,
        addresses=list(new.addresses),
        note=new.note,
        changed=list(request.changed),
        overlap_seconds=int(request.overlap.total_seconds()),
        requested_by=request.requested_by,
        person=request.person,
        requested_at=request.requested_at,
        expires_at=request.expires_at,
        decided_by=request.decided_by,
        decided_at=request.decided_at,
    )


def handed_over(handed: Handed) -> KeyIssued:
    """The key, or as it will be, with its secret."""
    if handed.request is None:
        assert handed.record is not None
        return KeyIssued(key=entry(handed.record), secret=handed.secret)
    request = request_entry(handed.request)
    return KeyIssued(key=_waiting(handed.request), secret=handed.secret, request=request)


def _waiting(request: KeyRequest) -> KeyEntry:
    return KeyEntry(
        key_id=request.key_id,
        status="waiting",
        created_at=request.requested_at,
        revoked_at=None,
        last_used_at=None,
        revision=request.revision,
        **_as_asked(request.new),
    )


def _as_asked(new: NewKey) -> dict[str, Any]:
    return {
        "owner": new.owner,
        "tenant": new.tenant,
        "scopes": sorted(new.scopes),
        "plan": new.plan,
        "limits": dict(new.limits),
        "created_by": new.created_by,
        "expires_at": new.expires_at,
        "addresses": list(new.addresses),
        "note": new.note,
        "break_glass": new.break_glass,
    }
