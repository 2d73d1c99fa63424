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
    """All that are set must match. Each is answered from an index.

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
    """Records, the newest first, and where the next page starts; None after the last."""

    records: tuple[Record, ...]
    cursor: int | None


# A partial index is used only where its condition stands in the query, literally.
_PARTIAL: dict[tuple[str, str | None], ColumnElement[bool]] = {
    ("patient", None): literal_column("patient != ''"),
    ("model", None): literal_column("model != ''"),
    ("outcome", "refused"): literal_column("outcome IN ('refused', 'failed')"),
    ("outcome", "failed"): literal_column("outcome IN ('refused', 'failed')"),
}


def matching(filters: Filters) -> list[ColumnElement[bool]]:
    """The conditions, for SQL."""
    conditions: list[ColumnElement[bool]] = []
    for name in filters.names():
        value = getattr(filters, name)
        if name == "since":
            conditions.append(audit.c.time >= time_text(value))
        elif name == "until":
            conditions.append(audit.c.time < time_text(value))
        else:
            conditions.append(audit.c[name] == value)
            condition = _PARTIAL.get((name, value), _PARTIAL.get((name, None)))
            if condition is not None:  # SQL conditions have no truth value
                conditions.append(condition)
    return conditions
