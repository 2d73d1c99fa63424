"""/v1/admin/audit: read the audit log, and verify that it is whole. Reading is on record too.

A caller sees its own tenant's records; other tenants', and the gateway's own, with ``audit:all``. Verification reads
all of them and tells numbers alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.describe import ALWAYS, OF_RESOURCES, problems
from gateway.api.parts import Admitted, CurrentExchange, Joined, Parts
from gateway.api.query import Moment, once
from gateway.audit.events import AuditRead
from gateway.audit.search import Filters
from gateway.errors import DeadlineExceeded, Forbidden, InvalidParameter

if TYPE_CHECKING:
    from gateway.admission.principal import Admission, Principal
    from gateway.api.exchange import Exchange

ALL = "audit:all"
EVERY_TENANT = "*"
VERIFY_SHARE = 0.5
"""Share of the deadline in which records are read; the rest is for what comes before and after."""

router = APIRouter(tags=["administration"], prefix="/v1/admin/audit")
Text = Annotated[str | None, Field(max_length=200)]


class AuditFilters(BaseModel):
    """What to look for; all that is set must match."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: Moment | None = Field(None, description="Not before; RFC 3339 with a zone")
    until: Moment | None = Field(None, description="Before")
    type: Text = Field(None, description="The action: `request.finished`, `key.issued`, ...")
    actor: Text = Field(None, description="Key ID")
    tenant: Text = Field(
        None, description="The caller's own unless given; another one, or `*` for all, needs the scope `audit:all`"
    )
    outcome: Literal["success", "refused", "failed"] | None = None
    request_id: Text = Field(None, description="Correlation ID")
    patient: Text = Field(None, description="A patient's pseudonym: see `/v1/admin/audit/pseudonym`")
    model: Text = None

    def wanted(self) -> dict[str, Any]:
        """The filters that are set, but for the tenant."""
        names = set(AuditFilters.model_fields) - {"tenant"}
        return {name: value for name, value in self.model_dump(include=names).items() if value is not None}

    def filters(self, principal: Principal) -> Filters:
        """What this caller may look for.

        Raises:
            Forbidden: Records of another tenant, without ``audit:all``.
        """
        tenant = tenant_of(principal, self.tenant)
        return Filters(**self.wanted(), tenant=None if tenant == EVERY_TENANT else tenant)


class AuditQuery(AuditFilters):
    """What to look for, and which page of it."""

    cursor: int | None = Field(None, ge=1, le=2**53, description="Of the page before")
    limit: int = Field(100, ge=1, le=1000)


class AuditPage(BaseModel):
    """Records, the newest first."""

    records: list[dict[str, Any]] = Field(description="Each with its number, its hash and that of the one before it")
    cursor: int | None = Field(
        description="Leads to the next page; null after the last. One search looks at a bounded part of the log: where "
        "several filters are common, a page may be short, even empty, and still have a cursor"
    )


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
    after: int = Field(description="Reading began after this number")
    last: int = Field(description="Number of the last that was read")
    sealed: int = Field(description="Up to here a signed checkpoint vouches for it; a cut above cannot be seen")
    given_up: int = Field(description="Up to here records were given up by a signed truncation; 0 if none were")
    next: int | None = Field(description="Go on with `after` set to this; null if the log's end was reached")
    verdicts: dict[str, Answer]


class VerifyQuery(BaseModel):
    """Where to begin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: int = Field(0, ge=0, le=2**53, description="After this record, which was verified before")


@router.get("", summary="Read the audit log", responses=problems(*ALWAYS, InvalidParameter))
async def list_records(
    request: Request,
    query: Annotated[AuditQuery, Query()],
    joined: Joined,
    admission: Admitted,
    exchange: CurrentExchange,
) -> AuditPage:
    """The records that match, of the caller's tenant unless others are asked for."""
    once(request.scope)
    filters = query.filters(admission.principal)
    page = await joined.audit.find(filters, query.cursor, query.limit)
    await note(joined, admission, exchange, "list", names=tuple(query.wanted()), filters=filters)
    records = [{**record.fields, "hash": record.hash} for record in page.records]
    return AuditPage(records=records, cursor=page.cursor)


@router.get("/verify", summary="Verify the audit log", responses=problems(*ALWAYS, *OF_RESOURCES, DeadlineExceeded))
async def verify_log(
    request: Request,
    query: Annotated[VerifyQuery, Query()],
    joined: Joined,
    admission: Admitted,
    exchange: CurrentExchange,
) -> AuditReport:
    """Integrity, order, completeness and checkpoints, of as much of the log as half a request's deadline is enough for.

    Where that was not all, `next` says where to go on.
    """
    once(request.scope)
    return await verify(joined, admission, exchange, query.after)


async def verify(joined: Parts, admission: Admission, exchange: Exchange, after: int = 0) -> AuditReport:
    """Verify the log from there on, for a bounded time; on record.

    Raises:
        DeadlineExceeded: The database hangs.
        NotFound: There is no such record.
    """
    loop = asyncio.get_running_loop()
    stop = loop.time() + VERIFY_SHARE * joined.gate.deadline_seconds
    try:
        async with asyncio.timeout(joined.gate.deadline_seconds):
            report = await joined.audit.verify(after=after, enough=lambda: loop.time() > stop)
    except TimeoutError:
        raise DeadlineExceeded("The audit store did not answer in time") from None
    await note(joined, admission, exchange, "verify")
    verdicts = {
        name: Answer(good=verdict.good, faults=verdict.faults, first_bad=verdict.first_bad, says=verdict.says)
        for name, verdict in report.verdicts.items()
    }
    return AuditReport(
        good=report.good,
        records=report.records,
        after=report.after,
        last=report.last,
        sealed=report.sealed,
        given_up=report.given_up,
        next=None if report.whole else report.last,
        verdicts=verdicts,
    )


def tenant_of(principal: Principal, asked: str | None) -> str:
    """The tenant that is meant, which the caller may ask about.

    Raises:
        Forbidden: It may not.
    """
    if asked not in {None, principal.tenant} and ALL not in principal.scopes:
        raise Forbidden(f"This needs the scope {ALL}", scope=ALL)
    return principal.tenant if asked is None else asked


async def note(
    joined: Parts,
    admission: Admission,
    exchange: Exchange,
    action: Literal["list", "verify", "proof"],
    *,
    names: tuple[str, ...] = (),
    filters: Filters | None = None,
) -> None:
    """Put on record that the caller reads, and answer for the request with that."""
    principal = admission.principal
    others = filters is not None and filters.tenant != principal.tenant
    event = AuditRead(admission.request_id, principal.key_id, principal.tenant, action, names, all_tenants=others)
    await joined.recorder.record(event)
    exchange.recorded = True
