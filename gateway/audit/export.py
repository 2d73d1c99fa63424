"""Step 7 of 7: the log in the forms in which others take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.audit.chain import Record


def ndjson(record: Record) -> bytes:
    """One line: ``{"hash": ..., "record": {...}}``. ``record`` stands there byte by byte as it was hashed."""
    return b'{"hash":"%b","record":%b}\n' % (record.hash.encode(), record.body.encode())
