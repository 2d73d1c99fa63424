"""What /v1/usage and /v1/admin/usage ask for and answer alike."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gateway.errors import InvalidParameter

if TYPE_CHECKING:
    from gateway.admission.usage_report import UsageDay

DEFAULT_DAYS = 30


def _day(value: object) -> object:
    # pydantic would take a number for seconds since 1970.
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII) is None:
        raise ValueError
    return value


Day = Annotated[date | None, BeforeValidator(_day)]


class Period(BaseModel):
    """Days in UTC, both ends included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: Day = Field(None, alias="from", description=f"First day; {DEFAULT_DAYS} days up to the last if absent")
    last: Day = Field(None, alias="to", description="Last day; today if absent")

    def days(self) -> tuple[date, date]:
        """First and last.

        Raises:
            InvalidParameter: The last is before the first.
        """
        last = self.last or datetime.now(UTC).date()
        first = self.first or last - timedelta(days=min(DEFAULT_DAYS - 1, (last - date.min).days))
        if last < first:
            raise InvalidParameter("from must not be after to", parameter="from")
        return first, last


class Denials(BaseModel):
    """Requests that were refused at the door, by what was missing."""

    credential: int = Field(description="No good credential (401)")
    scope: int = Field(description="The scope (403)")
    switch: int = Field(description="Leave of the operator, who has switched something off (403, 503)")
    limit: int = Field(description="Room in a window, or among the requests that run at once (429)")


class Outcomes(BaseModel):
    """Requests that were not denied, by how they ended."""

    succeeded: int = Field(description="2xx and 3xx")
    caller_errors: int = Field(description="4xx, and requests whose caller left")
    server_errors: int = Field(description="5xx")


class Bucket(BaseModel):
    """A part of the histogram."""

    up_to_ms: int | None = Field(description="Upper bound; null above the last")
    count: int = Field(description="Requests in this bucket alone")


class Latency(BaseModel):
    """From a request's head to the end of its answer, of the requests that were not denied. Null if there are none."""

    count: int
    mean_ms: float | None
    p50_ms: float | None = Field(description="Read from the histogram, as are the next two")
    p95_ms: float | None
    p99_ms: float | None
    histogram: list[Bucket] = Field(description="Buckets that are not empty; those of several days may be added")


class UsageEntry(BaseModel):
    """One key on one day."""

    day: date = Field(description="In UTC")
    key_id: str
    requests: int
    denials: Denials
    outcomes: Outcomes
    frames: int = Field(description="Images classified or given back")
    bytes_in: int = Field(description="Of bodies, as far as they were read")
    latency: Latency


def entry(row: UsageDay) -> UsageEntry:
    """A row as it is told."""
    return UsageEntry.model_validate(row.as_json())
