"""Step 7 of 7: how records are said in the forms of others, as tables with the clause that each line follows."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class EventCode(NamedTuple):
    """What one type of event is called in DICOM's audit messages, and in FHIR's AuditEvent, which takes the same codes.

    Attributes:
        type: As in ``events.EVENT_TYPES``.
        code: EventID: of the DICOM vocabulary (PS3.16 CID 400), or the type itself where that has none.
        meaning: Its meaning.
        subtype: EventTypeCode (PS3.16 CID 401); empty for none.
        subtype_meaning: Its meaning.
        action: C, R, U, D or E.
        clause: Where that is from.
    """

    type: str
    code: str
    meaning: str
    subtype: str
    subtype_meaning: str
    action: str
    clause: str

    @property
    def of_dicom(self) -> bool:
        """Whether the code is one of DICOM's."""
        return self.code.isdigit()


class CsvColumn(NamedTuple):
    """One column of the CSV form.

    Attributes:
        column: Its heading.
        member: The record's member that it shows; empty for what is made.
        kind: ``text``, ``number``, ``json`` for all other members, ``hash`` for the record's hash.
        clause: What it follows.
    """

    column: str
    member: str
    kind: str
    clause: str


@cache
def event_codes() -> dict[str, EventCode]:
    """Type of event to its codes."""
    return {row["type"]: EventCode(**row) for row in _rows("events.csv")}


@cache
def csv_columns() -> tuple[CsvColumn, ...]:
    """The columns of the CSV form, in their order."""
    return tuple(CsvColumn(**row) for row in _rows("columns.csv"))


def _rows(name: str) -> list[dict[str, str]]:
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
