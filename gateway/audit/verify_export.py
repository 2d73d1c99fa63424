"""Step 7 of 7: is an export whole? For whoever has the file, its proof and the public key, and nothing else.

The same four questions as of the log itself (``verify.py``). Of records in NDJSON each link is followed by its public
digest; of any other form the signed statement tells that the bytes are what the gateway gave away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit.chain import FIRST_PUBLIC_SCHEMA, Record
from gateway.audit.checkpoints import Checkpoint, Truncation
from gateway.audit.proof import ExportSeal
from gateway.audit.verify import QUESTIONS, Question, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.audit.keys import KeyRing
    from gateway.audit.statements import TrustedKeys

_PREFIX, _MIDDLE = b'{"hash":"', b'","record":'
_BODY_AT = len(_PREFIX) + 64 + len(_MIDDLE)


@dataclass(slots=True)
class ExportReport:
    """The verdicts, and what they rest on.

    Attributes:
        records: How many were read.
        first: Number of the first.
        last: Number of the last.
        sealed: Up to this number the links lead to a good checkpoint.
        notes: What else there is to know, for people.
    """

    records: int = 0
    first: int = 0
    last: int = 0
    sealed: int = 0
    notes: list[str] = field(default_factory=list)
    verdicts: dict[Question, Verdict] = field(default_factory=lambda: {name: Verdict() for name in QUESTIONS})

    @property
    def good(self) -> bool:
        """Whether all verdicts are."""
        return all(verdict.good for verdict in self.verdicts.values())


class Proof:
    """The statements that an export is held against.

    Args:
        lines: Of the export's end, of a proof's file, of the checkpoints' second place.
        trusted: The public keys whose statements count.
        report: Told what is wrong with them.
    """

    def __init__(self, lines: Iterable[bytes], trusted: TrustedKeys, report: ExportReport) -> None:
        self.seal: ExportSeal | None = None
        self.digests: dict[int, set[str]] = {}
        verdict = report.verdicts["checkpoints"]
        for line in lines:
            if not line.endswith(b"\n"):
                continue  # cut short, as a crash may leave it
            statement = _statement(line)
            if statement is None:
                verdict.fault(report.first, "a line of the proof cannot be read")
            elif not trusted.hold(statement):
                number = statement.last if isinstance(statement, ExportSeal) else statement.size
                verdict.fault(number, "the signature does not hold")
            elif isinstance(statement, ExportSeal):
                self.seal = statement
            elif statement.digest:
                self.digests.setdefault(statement.size, set()).add(statement.digest)


def verify_records(
    lines: Iterable[bytes],
    proof: Proof,
    report: ExportReport,
    keys: KeyRing | None = None,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> ExportReport:
    """Verify an export in NDJSON.

    Args:
        lines: Of the records, in their order.
        proof: What they are held against.
        report: Where the verdicts go.
        keys: The chain's, where they are at hand: then each record's HMAC is checked too.
        progress: Told how many bytes were read.
    """
    walk = _Walk(proof, report, keys)
    for line in lines:
        walk.add(line)
        progress(len(line))
    walk.finish()
    return report


def verify_bytes(pieces: Iterable[bytes], proof: Proof, report: ExportReport) -> ExportReport:
    """Verify an export in any other form: these bytes are what the gateway gave away."""
    sha, size = sha256(), 0
    for piece in pieces:
        sha.update(piece)
        size += len(piece)
    seal = proof.seal
    if seal is None:
        report.verdicts["integrity"].fault(0, "no signed statement of this export is at hand")
        return report
    report.records, report.first, report.last = seal.records, seal.first, seal.last
    _against_seal(seal, sha.hexdigest(), size, report)
    report.notes.append("order and completeness rest on the signed statement: this form does not show the chain")
    return report


def _against_seal(seal: ExportSeal, digest: str, size: int, report: ExportReport) -> None:
    if (digest, size) != (seal.output_digest, seal.bytes):
        report.verdicts["integrity"].fault(seal.first, "the bytes are not those that the gateway gave away")
    if seal.altered:
        says = f"{seal.altered} of the records were not what had been hashed when they went out"
        report.verdicts["integrity"].fault(seal.first, says)
    if seal.filters:
        report.notes.append(f"a selection by: {seal.filters}")


class _Walk:
    def __init__(self, proof: Proof, report: ExportReport, keys: KeyRing | None) -> None:
        self._proof = proof
        self._report = report
        self._keys = keys
        self._sha = sha256()
        self._bytes = 0
        self._before: tuple[str, str] | None = None
        self._gap = 0  # number before which the first gap is; 0 if there is none
        self._old = 0

    def add(self, line: bytes) -> None:
        self._sha.update(line)
        self._bytes += len(line)
        report = self._report
        stored, body, said = _parts(line)
        if said is None:
            report.verdicts["integrity"].fault(report.last + 1, "a line cannot be read as a record")
            self._before = None
            return
        seq = said["seq"]
        report.records += 1
        report.first = report.first or seq
        follows = seq == report.last + 1
        if report.last and not follows:
            if seq <= report.last:
                report.verdicts["order"].fault(seq, "a record stands after one of a greater number")
            self._gap = self._gap or seq
        report.last = seq
        digest = sha256(body).hexdigest()
        self._check_link(seq, said, follows=follows)
        known = self._proof.digests.get(seq)
        if known is not None:
            if known != {digest}:
                report.verdicts["integrity"].fault(seq, "a checkpoint knows another record of this number")
            elif not self._gap:
                report.sealed = seq
        if self._keys is not None and not self._keys.made(Record(seq, body.decode(), "", stored, said)):
            report.verdicts["integrity"].fault(seq, "the record is not what was hashed")
        self._before = (stored, digest)

    def _check_link(self, seq: int, said: dict[str, Any], *, follows: bool) -> None:
        schema = said.get("schema")
        public = type(schema) is int and schema >= FIRST_PUBLIC_SCHEMA
        self._old += not public
        if self._before is None or not follows:
            return
        if said.get("prev") != self._before[public]:
            self._report.verdicts["integrity"].fault(seq - 1, "the next record names another one in this place")

    def finish(self) -> None:
        report, seal = self._report, self._proof.seal
        if self._old:
            report.notes.append(f"{self._old} records are of schemas without public digests: only the seal covers them")
        if seal is not None:
            _against_seal(seal, self._sha.hexdigest(), self._bytes, report)
            if (seal.records, seal.first, seal.last) != (report.records, report.first, report.last):
                missing = seal.records - report.records
                report.verdicts["completeness"].fault(report.last + 1, f"{missing} records fewer than went out")
            if self._gap and not seal.gaps:
                report.verdicts["completeness"].fault(self._gap, "records before this one are missing")
            return
        completeness = report.verdicts["completeness"]
        if self._gap:
            completeness.fault(self._gap, "records before this one are missing")
        if report.sealed < report.last or not report.records:
            completeness.fault(report.sealed + 1, "no checkpoint and no statement of the export vouches from here on")
        report.notes.append("the export's own statement is not at hand: its records are held against checkpoints alone")


def _parts(line: bytes) -> tuple[str, bytes, dict[str, Any] | None]:
    """Hash, body and what it says; None if the line is not a record's."""
    if not (line.startswith(_PREFIX) and line[_BODY_AT - len(_MIDDLE) : _BODY_AT] == _MIDDLE and line.endswith(b"}\n")):
        return "", b"", None
    body = line[_BODY_AT:-2]
    try:
        said = orjson.loads(body)
    except ValueError:
        return "", b"", None
    if not isinstance(said, dict) or type(said.get("seq")) is not int:
        return "", b"", None
    return line[len(_PREFIX) : len(_PREFIX) + 64].decode("latin-1"), body, said


def is_record(line: bytes) -> bool:
    """Whether the line is meant to be a record, and not a statement of the proof."""
    return line.startswith(_PREFIX)


def _statement(line: bytes) -> Checkpoint | Truncation | ExportSeal | None:
    try:
        said = orjson.loads(line)
        for kind in (Checkpoint, Truncation, ExportSeal):
            if said.get("type") == kind.type_name:
                return kind.parse(said)
    except (ValueError, AttributeError, TypeError):
        return None
    return None
