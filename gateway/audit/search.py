"""Step 7 of 7: what of the log one looks for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, literal_column

from gateway.audit.chain import Record, time_text
from gateway.audit.tables import audit

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Filters:
    """All that are set must match. ``finder.py`` says how they are answered.

    Attributes:
        since: Not before.
        until: Before.
        type: Type name of the event, as in ``events.EVENT_TYPES``.
        patient: Pseudonym of the patient.
    """

    since: datetime | None = None
    until: datetime | None = None
    type: str | None = None
    actor: str | None = None
    tenant: str | None = None
    outcome: str | None = None
    request_id: str | None = None
    patient: str | None = None
    model: str | None = None

    def names(self) -> tuple[str, ...]:
        """Those that are set."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name) is not None)


@dataclass(frozen=True, slots=True)
class Page:
    """Records, the newest first, and where the next page starts; None after the last.

    A page may be short, even empty, and still have a cursor: one search looks at a bounded part of the log.
    """

    records: tuple[Record, ...]
    cursor: int | None


# A partial index is used only where its condition stands in the query, literally.
_PARTIAL: dict[tuple[str, str | None], ColumnElement[bool]] = {
    ("patient", None): literal_column("patient != ''"),
    ("model", None): literal_column("model != ''"),
    ("outcome", "refused"): literal_column("outcome IN ('refused', 'failed')"),
    ("outcome", "failed"): literal_column("outcome IN ('refused', 'failed')"),
}


def indexed(filters: Filters) -> tuple[str, ...]:
    """The filters that are set and have an index of their own by number; likely the rarest first.

    Most records succeed, so ``success`` has none.
    """
    names = ("request_id", "patient", "actor", "model", "type", "outcome", "tenant")
    return tuple(
        name
        for name in names
        if getattr(filters, name) is not None and (name, getattr(filters, name)) != ("outcome", "success")
    )


def partial(filters: Filters, name: str) -> list[ColumnElement[bool]]:
    """What must stand in a query for this filter's index to be used, besides the filter."""
    value = getattr(filters, name)
    found = _PARTIAL.get((name, value), _PARTIAL.get((name, None)))
    return [] if found is None else [found]


def others(filters: Filters, by: str | None = None) -> list[ColumnElement[bool]]:
    """The conditions, for SQL, of all filters but one; written so that no index fits them.

    A planner without statistics takes any index, and one with them goes by the wrong one at times.

    Args:
        filters: What to look for.
        by: The filter whose index leads.
    """
    conditions: list[ColumnElement[bool]] = []
    for name in filters.names():
        value = getattr(filters, name)
        if name == by:
            continue
        if name == "since":
            conditions.append(audit.c.time.concat("") >= time_text(value))
        elif name == "until":
            conditions.append(audit.c.time.concat("") < time_text(value))
        else:
            conditions.append(audit.c[name].concat("") == value)
    return conditions
