"""Audit: search the log, read a request's whole story, verify. The same calls as ``/v1/admin/audit``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from gateway.api import admin_audit
from gateway.api.parts import Admitted, CurrentExchange, Joined
from gateway.api.query import once
from gateway.audit.events import EVENT_TYPES
from gateway.console.forms import fitting, read_form
from gateway.console.lines import line
from gateway.console.pages import HOME, from_script, page, session_of
from gateway.console.telling import story
from gateway.errors import CallerError, InvalidParameter, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admission.principal import Admission
    from gateway.api.parts import Parts

PATH = f"{HOME}/audit"
PAGE = 50
"""Records a page."""
STORY = 200
"""Records of one request that are told at most."""
FILTERS = ("since", "until", "type", "actor", "outcome", "request_id", "patient", "model", "tenant")
FORMATS = {"ndjson": "NDJSON with its proof", "csv": "CSV", "fhir": "FHIR", "dicom": "DICOM"}

router = APIRouter(include_in_schema=False, prefix=PATH)
RequestId = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{8,64}$")]
Number = Annotated[int, Path(ge=1, le=2**53)]


@router.get("")
async def audit(request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """The newest records that match."""
    once(request.scope)
    given = {name: request.query_params.get(name, "").strip() for name in (*FILTERS, "cursor")}
    error, found, status = None, None, 200
    try:
        query = fitting(admin_audit.AuditQuery, **sought(given), limit=PAGE)
        found = await admin_audit.list_records(request, query, joined, admission, exchange)
    except CallerError as refusal:
        error, status, exchange.problem = refusal, refusal.status, refusal.slug
    part = from_script(request.scope)
    return page(
        request,
        "_records.html" if part else "audit.html",
        status,
        reach=None if part else await joined.audit.reach(),
        records=[(record, line(record)) for record in found.records] if found else [],
        cursor=found.cursor if found else None,
        given=given,
        filters={name: value for name, value in given.items() if value and name != "cursor"},
        types=sorted(EVENT_TYPES),
        formats=FORMATS,
        all_tenants=admin_audit.EVERY_TENANT,
        error=error,
    )


@router.post("/verify")
async def verify(request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """Verify the log now; where it is too long for one request, as far as this one goes, and then from there on."""
    form = await read_form(request, session_of(request))
    after = form.text("after")
    report = await admin_audit.verify(joined, admission, exchange, int(after) if after.isdecimal() else 0)
    template = "_verdicts.html" if from_script(request.scope) else "verified.html"
    return page(request, template, report=report, at=datetime.now(UTC))


@router.get("/request/{request_id}")
async def request_story(
    request_id: RequestId, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """All records of one request, as its story."""
    query = fitting(admin_audit.AuditQuery, request_id=request_id, tenant=_widest(admission), limit=STORY)
    found = await admin_audit.list_records(request, query, joined, admission, exchange)
    if not found.records:
        raise NotFound("There is no record of this request")
    records = sorted(found.records, key=_number)
    return page(
        request,
        "story.html",
        about=request_id,
        records=records,
        chapters=story(records),
        owner=await _owner(joined, admission, records),
        more=found.cursor is not None,
    )


@router.get("/record/{number}")
async def record(
    number: Number, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """One record, as it is."""
    query = fitting(admin_audit.AuditQuery, cursor=number + 1, tenant=_widest(admission), limit=1)
    found = await admin_audit.list_records(request, query, joined, admission, exchange)
    if not found.records or _number(found.records[0]) != number:
        raise NotFound("There is no such record")
    said = found.records[0]
    return page(request, "record.html", record=said, text=line(said), facts=_flat(said))


def sought(given: Mapping[str, str]) -> dict[str, object]:
    """The API's parameters of what was filled in: a browser's time has no zone, and is read as UTC, as the page says.

    Raises:
        InvalidParameter: A time that is none.
    """
    wanted: dict[str, object] = {name: value for name, value in given.items() if value}
    for name in {"since", "until"} & set(wanted):
        wanted[name] = _moment(str(wanted[name]), name)
    return wanted


def _widest(admission: Admission) -> str | None:
    """Whose records a link of the list may lead to: everyone's for those who may, and else the caller's tenant's."""
    return admin_audit.EVERY_TENANT if admin_audit.ALL in admission.principal.scopes else None


def _moment(text: str, name: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidParameter("A time is written as 2026-01-31T08:00", parameter=name) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


async def _owner(joined: Parts, admission: Admission, records: list[dict[str, Any]]) -> str:
    """Who the key belongs to, for those who may know."""
    if "keys:read" not in admission.principal.scopes:
        return ""
    known = await joined.keys.find(str(records[0].get("actor", "")))
    return known.owner if known is not None and known.tenant == admission.principal.tenant else ""


def _number(record: Mapping[str, Any]) -> int:
    return int(record.get("seq", 0))


def _flat(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Every field, those within others with their path."""
    flat: list[tuple[str, str]] = []
    for name, value in record.items():
        if isinstance(value, dict):
            flat += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            flat.append((prefix + name, ", ".join(map(str, value))))
        else:
            flat.append((prefix + name, str(value)))
    return flat
