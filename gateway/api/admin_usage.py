"""GET /v1/admin/usage: who used how much, by key and day, of the caller's own tenant. JSON in pages, or CSV."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.admission.usage_report import csv_text
from gateway.admission.usage_store import Asked
from gateway.api.describe import ALWAYS, problems
from gateway.api.exchange import header
from gateway.api.parts import Admitted, Joined
from gateway.api.query import once
from gateway.api.streamed import StreamedText
from gateway.api.usage_answer import Period, UsageEntry, entry
from gateway.errors import InvalidParameter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.admission.usage_report import UsageDay

CSV = "text/csv"

router = APIRouter(tags=["administration"])


class UsageQuery(Period):
    """Which rows, and how they are wanted."""

    key: str | None = Field(None, pattern=r"^[A-Za-z0-9_]{1,64}$", description="Public ID of one key")
    format: Literal["json", "csv"] | None = Field(
        None, description="`csv`: all rows at once, as text/csv; so does `Accept: text/csv`"
    )
    cursor: str | None = Field(
        None,
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[.][A-Za-z0-9_]{1,64}$",
        max_length=80,
        description="Of the page before",
    )
    limit: int = Field(100, ge=1, le=1000, description="Most rows of a page")

    def after(self, tenant: str) -> tuple[date, str, str] | None:
        """Where the page before ended.

        Raises:
            InvalidParameter: There is no such day.
        """
        if self.cursor is None:
            return None
        day, _, key_id = self.cursor.partition(".")
        try:
            return date.fromisoformat(day), tenant, key_id
        except ValueError:
            raise InvalidParameter("This cursor was not given out here", parameter="cursor") from None


class UsagePage(BaseModel):
    """Rows, the newest day first."""

    usage: list[UsageEntry] = Field(description="About a second behind")
    cursor: str | None = Field(description="Leads to the next page; null after the last")


_TABLE = {"description": "Rows; as CSV with a line of names first", "content": {CSV: {"schema": {"type": "string"}}}}


@router.get(
    "/v1/admin/usage",
    summary="Usage by key and day",
    response_model=UsagePage,
    responses={200: _TABLE, **problems(*ALWAYS, InvalidParameter)},
)
async def usage(
    request: Request, query: Annotated[UsageQuery, Query()], joined: Joined, admission: Admitted
) -> UsagePage | Response:
    """The keys of the caller's tenant: requests, denials, frames, bytes, latency."""
    once(request.scope)
    tenant = admission.principal.tenant
    asked = Asked(*query.days(), tenant, query.key)
    after = query.after(tenant)
    if query.format == "csv" or (query.format is None and _wants_csv(header(request.scope, b"accept") or "")):
        if query.cursor is not None:
            raise InvalidParameter("CSV comes whole: it has no pages", parameter="cursor")
        pages = joined.usage.walk(asked)
        first: list[UsageDay] = await anext(
            pages, []
        )  # a database that is away is a 503: not an answer that breaks off
        headers = {"Content-Disposition": f'attachment; filename="usage-{asked.first}-{asked.last}.csv"'}
        media_type = f"{CSV}; charset=utf-8; header=present"
        seconds = joined.gate.answer_seconds
        return StreamedText(_lines(first, pages), seconds=seconds, media_type=media_type, headers=headers)
    rows = await joined.usage.find(asked, after, query.limit + 1)
    more, rows = len(rows) > query.limit, rows[: query.limit]
    cursor = f"{rows[-1].day}.{rows[-1].key_id}" if more else None
    return UsagePage(usage=[entry(row) for row in rows], cursor=cursor)


async def _lines(first: list[UsageDay], rest: AsyncIterator[list[UsageDay]]) -> AsyncIterator[str]:
    yield csv_text(first, head=True)
    async for page in rest:
        yield csv_text(page)


def _wants_csv(accept: str) -> bool:
    """Whether text/csv is named, and neither with a weight of 0 nor beside JSON (RFC 9110 §12.5.1)."""
    offers = [[part.strip() for part in offer.split(";")] for offer in accept.lower().split(",")]
    wanted = {
        name for name, *rest in offers if not any(each.startswith("q=") and not each[2:].strip("0.") for each in rest)
    }
    return CSV in wanted and "application/json" not in wanted
