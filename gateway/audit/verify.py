"""Step 7 of 7: is the log whole? Four questions, four verdicts, each with the first number where the answer is no.

    integrity     each record says what it said when it was made: its HMAC holds, the searchable columns repeat its body
    order         numbers run 1, 2, 3, ... and each record names the one before it; ended keys made no later record
    completeness  the log reaches as far as every good checkpoint says it did, and had that hash there; what its
                  beginning lacks was given up by a signed truncation
    checkpoints   every statement's signature holds, and what is in the second place is in the table too

``Verification`` is pure and takes the rows one after another, from wherever they come; memory does not grow with them.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

import orjson

from gateway.audit.chain import EMPTY, FIRST_PUBLIC_SCHEMA, Head, digest, public_digest
from gateway.audit.checkpoints import Checkpoint, Truncation
from gateway.audit.tables import REPEATED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.audit.keys import KeyRing
    from gateway.audit.statements import TrustedKeys

Question = Literal["integrity", "order", "completeness", "checkpoints"]
QUESTIONS: tuple[Question, ...] = ("integrity", "order", "completeness", "checkpoints")

COLUMNS = ("seq", "body", "prev", "hash", *REPEATED)
"""The columns of a row, in the order in which ``Verification.add`` takes them."""


@dataclass(slots=True)
class Verdict:
    """The answer to one question.

    Attributes:
        faults: How many faults were found.
        first_bad: Number of the first record that is not as it should be, or is missing.
        says: What is wrong there.
    """

    faults: int = 0
    first_bad: int | None = None
    says: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing was found."""
        return self.faults == 0

    def fault(self, seq: int, says: str) -> None:
        """Note one."""
        self.faults += 1
        if self.first_bad is None or seq < self.first_bad:
            self.first_bad, self.says = seq, says


@dataclass(slots=True)
class Report:
    """The verdicts, and how far they reach.

    Attributes:
        records: How many were read.
        after: Number of the record after which reading began; those up to it are not judged here.
        last: Number of the last that was read.
        sealed: The largest size that a good checkpoint vouches for. A cut above it cannot be seen.
        given_up: Up to this number records were given up by a signed truncation; 0 if none were.
        whole: Whether the log's end was reached.
    """

    records: int = 0
    after: int = 0
    last: int = 0
    sealed: int = 0
    given_up: int = 0
    whole: bool = True
    verdicts: dict[Question, Verdict] = field(default_factory=lambda: {name: Verdict() for name in QUESTIONS})

    @property
    def good(self) -> bool:
        """Whether all verdicts are."""
        return all(verdict.good for verdict in self.verdicts.values())


class Verification:
    """One walk along the log.

    Args:
        keys: The chain's.
        trusted: The public keys whose statements count.
        stored: Checkpoints in the table.
        truncations: Truncations in the table.
        elsewhere: Lines of the second place; None if there is none.
        checkpoint_every: A log longer than this has a checkpoint, unless someone took it away.
        after: The record before the first that is read, for a part of the log; None from the beginning.
    """

    def __init__(
        self,
        keys: KeyRing,
        trusted: TrustedKeys,
        *,
        stored: Iterable[Checkpoint],
        truncations: Iterable[Truncation] = (),
        elsewhere: Iterable[bytes] | None,
        checkpoint_every: int,
        after: Head | None = None,
    ) -> None:
        self.report = Report()
        self._keys = keys
        self._key_at = 0
        self._macs = {key.id: hmac.new(key.secret, digestmod="sha256") for key in keys.keys}
        self._every = checkpoint_every
        self._heads: dict[int, set[str]] = {}
        self._largest = 0
        self._base = EMPTY
        self._take_statements(trusted, list(stored), list(truncations), elsewhere)
        start = after or EMPTY
        self.report.after = self.report.last = start.seq
        # Hash and digest of the record before; None where they are not known.
        self._previous: tuple[str, str] | None = (start.hash, start.digest) if after else None

    def add_all(self, rows: Iterable[Sequence[Any]]) -> None:
        """The next rows. What is as it should be, as nearly all is, takes the short way: 7 µs a record."""
        report, macs, order, heads = self.report, self._macs, self._keys.order, self._heads
        loads, sha = orjson.loads, sha256
        last, key_at = report.last, self._key_at
        before = self._previous[1] if self._previous else None
        for row in rows:
            seq, body, prev, stored, time, kind, actor, tenant, outcome, request_id, patient, model = row
            try:
                raw = body.encode()
                said = loads(raw)
                get = said.get
                named = said["chain_key"]
                at = order[named]
                mac = macs[named].copy()
                mac.update(raw)
                good = (
                    mac.hexdigest() == stored
                    and said["prev"] == prev == before
                    and said["seq"] == seq == last + 1
                    and at >= key_at
                    and seq not in heads
                    and said["schema"] >= FIRST_PUBLIC_SCHEMA
                    and get("time", "") == time
                    and get("type", "") == kind
                    and get("actor", "") == actor
                    and get("tenant", "") == tenant
                    and get("outcome", "") == outcome
                    and get("request_id", "") == request_id
                    and get("patient", "") == patient
                    and get("model", "") == model
                )
            except (AttributeError, KeyError, TypeError, ValueError):
                good = False
            if good:
                report.records += 1
                report.last = last = seq
                self._key_at = key_at = at
                before = sha(raw).hexdigest()
                self._previous = (stored, before)
            else:
                self.add(row)
                last, key_at = report.last, self._key_at
                before = self._previous[1] if self._previous else None

    def add(self, row: Sequence[Any]) -> None:
        """The next row, as ``COLUMNS`` lists it; values of any type."""
        seq, body, prev, stored = row[:4]
        self._expect(seq)
        integrity = self.report.verdicts["integrity"]
        computed, public, said = "", "", None
        if type(body) is str and type(stored) is str:
            raw = body.encode(errors="surrogatepass")
            try:
                said = orjson.loads(raw)
            except ValueError:
                said = None
            public = public_digest(raw)
            computed = self._computed(seq, raw, said)
        if not computed or computed != stored:
            integrity.fault(seq, "the record is not what was hashed")
        elif type(said) is dict and (
            said.get("prev") != prev or any(said.get(name, "") != row[4 + at] for at, name in enumerate(REPEATED))
        ):
            integrity.fault(seq, "a column differs from the record")
        self._check_order(seq, prev, said)
        if seq in self._heads and self._heads[seq] - {stored, computed}:
            self.report.verdicts["completeness"].fault(seq, "a checkpoint knows another record of this number")
        # Of a record that was changed nobody knows any more what the next one should name: one fault, not two.
        self._previous = (computed, public) if computed and computed == stored else None

    def unreadable(self, seq: int) -> None:
        """The next row cannot be read at all."""
        self._expect(seq)
        self.report.verdicts["integrity"].fault(seq, "the database cannot read the record")
        self._previous = None

    def unreadable_checkpoint(self, size: int) -> None:
        """A row of a table of statements cannot be read."""
        self.report.verdicts["checkpoints"].fault(size, "the database cannot read the statement")

    def broken_off(self) -> None:
        """The database is damaged: nothing after the last row can be read."""
        for question in ("integrity", "order"):
            self.report.verdicts[question].fault(self.report.last + 1, "the database is damaged from here on")

    def finish(self, *, whole: bool = True) -> Report:
        """No more rows. ``whole`` is False where the log goes on after them."""
        report = self.report
        report.whole = whole
        if whole:
            self._check_end()
        return report

    def _check_end(self) -> None:
        report = self.report
        if self._largest > report.last:
            missing = self._largest - report.last
            first = max(report.last, self._base.seq) + 1
            report.verdicts["completeness"].fault(first, f"cut off: a checkpoint knows {missing} more")
        elif report.last < self._base.seq:
            report.verdicts["completeness"].fault(report.last + 1, "cut off: not all of this was given up")
        if not self._heads and report.last > self._every:
            report.verdicts["checkpoints"].fault(report.last, "a log this long has checkpoints, and there are none")

    def _computed(self, seq: int, raw: bytes, said: object) -> str:
        """The HMAC that the record should have; of the key that it names, if that may have made it."""
        named = said.get("chain_key") if isinstance(said, dict) else None
        at = self._keys.order.get(named) if type(named) is str else None
        if at is None:
            at = 0  # it names none, as the first schemas did not: the oldest
        if at < self._key_at:
            self.report.verdicts["order"].fault(seq, "made with a key that had been ended")
        else:
            self._key_at = at
        return digest(self._keys.keys[at].secret, raw)

    def _check_order(self, seq: int, prev: object, said: object) -> None:
        public = False
        if isinstance(said, dict):
            if said.get("seq") != seq:
                self.report.verdicts["order"].fault(seq, "the record was made for another place")
            prev = said.get("prev")
            schema = said.get("schema")
            public = type(schema) is int and schema >= FIRST_PUBLIC_SCHEMA
        before = self._previous
        if before is None:
            return  # it was changed, or it is the last of those that were given up and have gone
        if prev != before[public]:
            self.report.verdicts["order"].fault(seq, "it does not follow the record before it")

    def _expect(self, seq: int) -> None:
        report = self.report
        if self._previous is None and report.records == 0:
            if 1 < seq <= self._base.seq:  # the removal of what was given up is under way
                report.last = seq - 1
            else:
                report.last = self._base.seq
                self._previous = (self._base.hash, self._base.digest)
        if seq != report.last + 1:
            missing = seq - report.last - 1
            says = f"{missing} missing" if missing > 0 else "a number that no record has"
            report.verdicts["order"].fault(min(seq, report.last + 1), says)
        report.records += 1
        report.last = seq

    def _take_statements(
        self,
        trusted: TrustedKeys,
        stored: list[Checkpoint],
        truncations: list[Truncation],
        elsewhere: Iterable[bytes] | None,
    ) -> None:
        verdict = self.report.verdicts["checkpoints"]
        known: set[Checkpoint | Truncation] = {*stored, *truncations}
        good = [each for each in known if self._take(each, trusted)]
        unreadable = []
        for line in elsewhere or ():
            if not line.endswith(b"\n"):
                continue  # being written, or cut short by a crash; the table has it
            try:
                said = orjson.loads(line)
                kind = Truncation if said.get("type") == Truncation.type_name else Checkpoint
                statement: Checkpoint | Truncation = kind.parse(said)
            except (ValueError, AttributeError, TypeError):
                unreadable.append(line.removesuffix(b"\n"))
                continue
            if statement not in known and self._take(statement, trusted):
                good.append(statement)
                verdict.fault(statement.size, "in the second place and not in the table")
        whole = [each.line() for each in good] if unreadable else []
        for start in unreadable:
            # A full disk cut it short, and it was written again: what it said is there.
            if not any(line.startswith(start) for line in whole):
                verdict.fault(self._largest, "a line of the second place cannot be read")
        first: dict[int | None, int] = {}  # key's place in time to the smallest size that it signed
        for each in good:
            at = trusted.order(each.key_id)
            first[at] = min(each.size, first.get(at, each.size))
        for each in good:
            at = trusted.order(each.key_id) or 0
            if any(later is not None and later > at and size < each.size for later, size in first.items()):
                verdict.fault(each.size, "signed with a key that had been ended")

    def _take(self, statement: Checkpoint | Truncation, trusted: TrustedKeys) -> bool:
        if not trusted.hold(statement):
            size = statement.size if type(statement.size) is int else 0
            self.report.verdicts["checkpoints"].fault(size, "the signature does not hold")
            return False
        self._heads.setdefault(statement.size, set()).add(statement.head)
        if isinstance(statement, Truncation):
            if statement.size > self._base.seq:
                self._base = Head(statement.size, statement.head, statement.digest)
                self.report.given_up = statement.size
        else:
            self._largest = self.report.sealed = max(self._largest, statement.size)
        return True
