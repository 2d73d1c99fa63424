"""/v1/admin/audit: read the audit log, and verify that it is whole. Reading is on record too.

A caller sees its own tenant's records. Verification reads all of them and tells numbers alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway.api.describe import ALWAYS, problems
from gateway.api.parts import Admitted, CurrentExchange, Joined, Parts
from gateway.api.query import once
from gateway.audit.events import AuditRead
from gateway.audit.search import Filters
from gateway.errors import DeadlineExceeded, InvalidParameter

if TYPE_CHECKING:
    from gateway.admission.principal import Admission
    from gateway.api.exchange import Exchange

router = APIRouter(tags=["administration"], prefix="/v1/admin/audit")
Text = Annotated[str | None, Field(max_length=200)]


class AuditQuery(BaseModel):
    """What to look for; all that is set must match."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: AwareDatetime | None = Field(None, description="Not before; RFC 3339 with a zone")
    until: AwareDatetime | None = Field(None, description="Before")
    type: Text = Field(None, description="`request.finished`, `key.issued`, ...")
    actor: Text = Field(None, description="Key ID")
    outcome: Literal["success", "refused", "failed"] | None = None
    request_id: Text = Field(None, description="Correlation ID")
    patient: Text = Field(None, description="A patient's pseudonym")
    model: Text = None
    cursor: int | None = Field(None, ge=1, le=2**53, description="Of the page before")
    limit: int = Field(100, ge=1, le=1000)


class AuditPage(BaseModel):
    """Records, the newest first."""

    records: list[dict[str, Any]] = Field(description="Each with its number, its hash and that of the one before it")
    cursor: int | None = Field(description="Leads to the next page; null after the last")


class Answer(BaseModel):
    """The answer to one question about the log."""

    good: bool
    faults: int
    first_bad: int | None = Field(description="Number of the first record that is not as it should be, or is missing")
    says: str


class AuditReport(BaseModel):
    """Whether the log is whole."""

    good: bool
    records: int = Field(description="How many were read")
    last: int = Field(description="Number of the last")
    sealed: int = Field(description="Up to here a signed checkpoint vouches for it; a cut above cannot be seen")
    verdicts: dict[str, Answer]


@router.get("", summary="Read the audit log", responses=problems(*ALWAYS, InvalidParameter))
async def list_records(
    request: Request,
    query: Annotated[AuditQuery, Query()],
    joined: Joined,
    admission: Admitted,
    exchange: CurrentExchange,
) -> AuditPage:
    """The records of the caller's tenant that match."""
    once(request.scope)
    wanted = query.model_dump(exclude={"cursor", "limit"})
    filters = Filters(**wanted, tenant=admission.principal.tenant)
    page = await joined.audit.find(filters, query.cursor, query.limit)
    await _note(joined, admission, exchange, "list", tuple(name for name, value in wanted.items() if value is not None))
    records = [{**record.fields, "hash": record.hash} for record in page.records]
    return AuditPage(records=records, cursor=page.cursor)


@router.get("/verify", summary="Verify the audit log", responses=problems(*ALWAYS, DeadlineExceeded))
async def verify(joined: Joined, admission: Admitted, exchange: CurrentExchange) -> AuditReport:
    """Integrity, order, tail and checkpoints, of the log as it is now."""
    try:
        async with asyncio.timeout(joined.gate.deadline_seconds):
            report = await joined.audit.verify()
    except TimeoutError:
        raise DeadlineExceeded("The log is too long to be verified within one request") from None
    await _note(joined, admission, exchange, "verify")
    verdicts = {
        name: Answer(good=verdict.good, faults=verdict.faults, first_bad=verdict.first_bad, says=verdict.says)
        for name, verdict in report.verdicts.items()
    }
    return AuditReport(
        good=report.good, records=report.records, last=report.last, sealed=report.sealed, verdicts=verdicts
    )


async def _note(
    joined: Parts,
    admission: Admission,
    exchange: Exchange,
    action: Literal["list", "verify"],
    filters: tuple[str, ...] = (),
) -> None:
    principal = admission.principal
    event = AuditRead(admission.request_id, principal.key_id, principal.tenant, action=action, filters=filters)
    await joined.recorder.record(event)
    exchange.recorded = True
