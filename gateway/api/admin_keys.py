"""/v1/admin/keys: issue, list, show, update, rotate, revoke. In the caller's own tenant; another's keys do not exist.

A change is on record twice: that it was begun, before it is made, so that none is made while the audit log is away; and
what it was, before its answer. The rules are ``admission/key_admin.py``'s.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field

from gateway.admission.administrator import Administrator
from gateway.admission.key_change import merged_limits
from gateway.admission.key_record import NewKey
from gateway.api.describe import ALWAYS, OF_RESOURCES, problems
from gateway.api.key_documents import (
    KeyChanged,
    KeyEntry,
    KeyId,
    KeyIssued,
    KeyList,
    KeyPatch,
    KeyWanted,
    Rotation,
    Strict,
    entry,
    handed_over,
    request_entry,
)
from gateway.api.on_record import begin
from gateway.api.parts import Admitted, CurrentExchange, Joined
from gateway.api.query import once
from gateway.errors import InvalidParameter, PreconditionFailed, PreconditionRequired

router = APIRouter(tags=["administration"], prefix="/v1/admin/keys")

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')
_WAITS: dict[int | str, dict[str, Any]] = {202: {"description": "It waits for a second pair of eyes"}}
_ETAG: dict[str, Any] = {
    "headers": {"ETag": {"schema": {"type": "string"}, "description": "The key's revision, for If-Match"}}
}
IfMatch = Annotated[
    str | None, Header(description="The ETag of the key as the caller saw it; `*` if that is not to matter")
]


class ListQuery(Strict):
    """How much to list."""

    limit: int = Field(default=100, ge=1, le=1000)


@router.get("", summary="List keys", responses=problems(*ALWAYS, InvalidParameter))
async def list_keys(
    request: Request, query: Annotated[ListQuery, Query()], joined: Joined, admission: Admitted
) -> KeyList:
    """The keys of the caller's tenant."""
    once(request.scope)
    found = await joined.administration.keys.list(Administrator.of(admission), limit=query.limit)
    return KeyList(keys=[entry(record) for record in found])


@router.post("", summary="Issue a key", status_code=201, responses={**problems(*ALWAYS, InvalidParameter), **_WAITS})
async def post_key(
    wanted: KeyWanted, joined: Joined, admission: Admitted, exchange: CurrentExchange, response: Response
) -> KeyIssued:
    """Make a key for the caller's tenant."""
    issued = await issue_key(wanted, joined, admission, exchange)
    response.status_code = 202 if issued.request else 201
    return issued


@router.get("/{key_id}", summary="Show a key", responses={**problems(*ALWAYS, *OF_RESOURCES), 200: _ETAG})
async def show_key(key_id: KeyId, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> KeyEntry:
    """One key; its ETag is what an update needs."""
    record = await joined.administration.keys.show(Administrator.of(admission), key_id)
    exchange.headers.append(("ETag", f'"{record.revision}"'))
    return entry(record)


@router.patch(
    "/{key_id}",
    summary="Update a key",
    responses={
        **problems(*ALWAYS, *OF_RESOURCES, PreconditionFailed, PreconditionRequired),
        **_WAITS,
        200: _ETAG,
    },
)
async def update_key(
    key_id: KeyId,
    patch: KeyPatch,
    *,
    joined: Joined,
    admission: Admitted,
    exchange: CurrentExchange,
    response: Response,
    if_match: IfMatch = None,
) -> KeyChanged:
    """A JSON merge patch, as `application/merge-patch+json` or `application/json`.

    Needs `If-Match`: a change that was made meanwhile is not overwritten unseen.
    """
    revision = _revision(if_match)
    by = await begin(joined, admission)
    done = await joined.administration.keys.update(by, key_id, patch.said(), revision=revision)
    exchange.recorded = bool(done.changed)
    exchange.headers.append(("ETag", f'"{done.record.revision}"'))
    if done.request is None:
        return KeyChanged(key=entry(done.record))
    response.status_code = 202
    return KeyChanged(key=entry(done.record), request=request_entry(done.request))


@router.post(
    "/{key_id}/rotate",
    summary="Give a key a new secret",
    responses={**problems(*ALWAYS, *OF_RESOURCES), **_WAITS},
)
async def post_rotation(
    key_id: KeyId,
    *,
    joined: Joined,
    admission: Admitted,
    exchange: CurrentExchange,
    response: Response,
    rotation: Rotation | None = None,
) -> KeyIssued:
    """The key keeps its ID, scopes and windows."""
    issued = await rotate_key(key_id, joined, admission, exchange, rotation)
    response.status_code = 202 if issued.request else 200
    return issued


@router.post("/{key_id}/revoke", summary="End a key now", responses=problems(*ALWAYS, *OF_RESOURCES))
async def revoke_key(key_id: KeyId, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> KeyEntry:
    """For good. Every gateway process refuses it within a second."""
    by = await begin(joined, admission)
    record = await joined.administration.keys.revoke(by, key_id)
    exchange.recorded = True
    return entry(record)


async def issue_key(wanted: KeyWanted, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> KeyIssued:
    """What ``post_key`` does, for the console too."""
    by = await begin(joined, admission)
    new = NewKey(
        owner=wanted.owner,
        tenant=by.tenant,
        scopes=joined.access.expand(roles=wanted.roles, scopes=wanted.scopes),
        plan=wanted.plan,
        expires_at=wanted.expires_at,
        addresses=tuple(wanted.addresses),
        note=wanted.note,
        limits=merged_limits((), wanted.limits),
    )
    handed = await joined.administration.keys.issue(by, new)
    exchange.recorded = True
    return handed_over(handed)


async def rotate_key(
    key_id: str, joined: Joined, admission: Admitted, exchange: CurrentExchange, rotation: Rotation | None = None
) -> KeyIssued:
    """What ``post_rotation`` does, for the console too."""
    by = await begin(joined, admission)
    overlap = timedelta(seconds=(rotation or Rotation()).overlap_seconds)
    handed = await joined.administration.keys.rotate(by, key_id, overlap)
    exchange.recorded = True
    return handed_over(handed)


def _revision(if_match: str | None) -> int | None:
    """The revision that the caller saw; None if it says that it does not matter.

    Raises:
        InvalidParameter: Not one entity tag (RFC 9110 §8.8.3).
        PreconditionFailed: A tag that is of no revision. A weak one matches nothing (RFC 9110 §13.1.1).
        PreconditionRequired: Nothing is said.
    """
    if if_match is None:
        raise PreconditionRequired("Send the key's ETag as If-Match: it is on the answer that shows the key")
    if if_match.strip() == "*":
        return None
    tag = _TAG.fullmatch(if_match.strip())
    if tag is None:
        raise InvalidParameter("If-Match takes one entity tag, as the ETag has it, or *", parameter="If-Match")
    if tag[1] or not re.fullmatch("[1-9][0-9]{0,8}", tag[2]):
        raise PreconditionFailed("No revision of the key has this ETag")
    return int(tag[2])
