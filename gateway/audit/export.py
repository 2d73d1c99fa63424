"""Step 7 of 7: the log in the forms in which others take it, record by record: nothing of it is gathered in memory.

ndjson   each record byte by byte as it was hashed; the proof is its last lines
csv      RFC 4180, for a table; no cell is a formula
fhir     a FHIR R4 Bundle of AuditEvents, after IHE BALP where its profiles fit
dicom    DICOM PS3.15 A.5 audit messages in one XML document; ``syslog.py`` sends the same messages one by one
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Literal, Protocol

from gateway.audit.as_csv import CsvForm
from gateway.audit.as_dicom import DicomForm
from gateway.audit.as_fhir import FhirForm

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.audit.chain import Head, Record
    from gateway.audit.keys import KeyRing

Format = Literal["ndjson", "csv", "fhir", "dicom"]
FORMATS: tuple[Format, ...] = ("ndjson", "csv", "fhir", "dicom")
MEDIA_TYPES: dict[Format, str] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8; header=present",
    "fhir": "application/fhir+json",
    "dicom": "application/xml",
}
SUFFIXES: dict[Format, str] = {"ndjson": "ndjson", "csv": "csv", "fhir": "fhir.json", "dicom": "xml"}
PIECE_BYTES = 64 * 2**10


class Form(Protocol):
    """How records are written."""

    def begin(self) -> bytes:
        """What stands before the first."""

    def record(self, record: Record) -> bytes:
        """One."""

    def end(self) -> bytes:
        """What stands after the last."""


class NdjsonForm:
    """One JSON object a line."""

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def record(self, record: Record) -> bytes:
        """See ``ndjson``."""
        return ndjson(record)

    def end(self) -> bytes:
        """Nothing; the proof follows."""
        return b""


def form_of(name: Format, source: str) -> Form:
    """The form of that name.

    Args:
        name: One of ``FORMATS``.
        source: This installation's name, ``AUDIT_SOURCE``.
    """
    match name:
        case "ndjson":
            return NdjsonForm()
        case "csv":
            return CsvForm()
        case "fhir":
            return FhirForm(source)
        case "dicom":
            return DicomForm(source)


def ndjson(record: Record) -> bytes:
    """One line: ``{"hash": ..., "record": {...}}``. ``record`` stands there byte by byte as it was hashed."""
    return b'{"hash":"%b","record":%b}\n' % (record.hash.encode(), record.body.encode())


class Export:
    """One export on its way: its bytes, and what there is to say of them afterwards.

    Args:
        form: How records are written.
        keys: The chain's, to see that each record is what it was when it was made.

    Attributes:
        records: How many went out.
        first: Number of the first; 0 if there was none.
        last: The last; the chain's beginning if there was none.
        altered: How many were not what was hashed.
        contiguous: Whether no number between the first and the last was left out.
        bytes: Length of the output.
    """

    def __init__(self, form: Form, keys: KeyRing) -> None:
        self.form = form
        self.records = self.first = self.altered = self.bytes = 0
        self.last: Head | None = None
        self.contiguous = True
        self._keys = keys
        self._sha = sha256()

    @property
    def digest(self) -> str:
        """SHA-256 of the output so far, hex."""
        return self._sha.hexdigest()

    async def pieces(self, records: AsyncIterator[Record]) -> AsyncIterator[bytes]:
        """The output, in pieces of some size."""
        waiting = [self.form.begin()]
        size = len(waiting[0])
        async for record in records:
            waiting.append(self._written(record))
            size += len(waiting[-1])
            if size >= PIECE_BYTES:
                yield self._out(b"".join(waiting))
                waiting, size = [], 0
        yield self._out(b"".join([*waiting, self.form.end()]))

    def _written(self, record: Record) -> bytes:
        if not self._keys.made(record):
            self.altered += 1
        if self.last is None:
            self.first = record.seq
        elif record.seq != self.last.seq + 1:
            self.contiguous = False
        self.last = record.head
        self.records += 1
        return self.form.record(record)

    def _out(self, piece: bytes) -> bytes:
        self._sha.update(piece)
        self.bytes += len(piece)
        return piece
