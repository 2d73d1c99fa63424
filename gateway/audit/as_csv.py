"""Step 7 of 7: records as CSV (RFC 4180), for a table. ``mappings/columns.csv`` says which columns there are.

A cell that a spreadsheet would take for a formula is preceded by an apostrophe (OWASP, CSV Injection): no text of a
record is free, yet a correlation ID may be the caller's.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit.mappings import csv_columns

if TYPE_CHECKING:
    from gateway.audit.chain import Record
    from gateway.audit.mappings import CsvColumn

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvForm:
    """A heading, then one line a record."""

    def __init__(self) -> None:
        self._columns = csv_columns()
        self._shown = {column.member for column in self._columns if column.member}

    def begin(self) -> bytes:
        """The headings."""
        return _line([column.column for column in self._columns])

    def record(self, record: Record) -> bytes:
        """One line."""
        return _line([self._cell(record, column) for column in self._columns])

    def end(self) -> bytes:
        """Nothing."""
        return b""

    def _cell(self, record: Record, column: CsvColumn) -> str:
        if column.kind == "hash":
            return record.hash
        if column.kind == "json":
            rest = {name: value for name, value in record.fields.items() if name not in self._shown}
            return orjson.dumps(rest, option=orjson.OPT_SORT_KEYS).decode()
        value: Any = record.fields.get(column.member, "")
        return str(value) if type(value) is int else safe(str(value))


def safe(text: str) -> str:
    """The text, such that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _line(cells: list[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().encode()
