"""Step 7 of 7: is the log whole? Four questions, four verdicts, each with the first number where the answer is no.

    integrity     each record says what it said when it was made: its HMAC holds, the searchable columns repeat its body
    order         numbers run 1, 2, 3, ... and each record names the hash of the one before it
    tail          the log reaches as far as every good checkpoint says it did, and had that hash there
    checkpoints   every checkpoint's signature holds, and what is in the second place is in the table too

``Verification`` is pure and takes the rows one after another, from wherever they come; memory does not grow with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import orjson

from gateway.audit.chain import GENESIS, digest
from gateway.audit.checkpoints import Checkpoint, holds
from gateway.audit.tables import REPEATED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Question = Literal["integrity", "order", "tail", "checkpoints"]
QUESTIONS: tuple[Question, ...] = ("integrity", "order", "tail", "checkpoints")

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
        last: Number of the last.
        sealed: The largest size that a good checkpoint vouches for. A cut above it cannot be seen.
    """

    records: int = 0
    last: int = 0
    sealed: int = 0
    verdicts: dict[Question, Verdict] = field(default_factory=lambda: {name: Verdict() for name in QUESTIONS})

    @property
    def good(self) -> bool:
        """Whether all verdicts are."""
        return all(verdict.good for verdict in self.verdicts.values())


class Verification:
    """One walk along the log.

    Args:
        key: The chain's secret.
        public: The public key of the checkpoints.
        stored: Checkpoints in the table.
        elsewhere: Lines of the second place; None if there is none.
        checkpoint_every: A log longer than this has a checkpoint, unless someone took it away.
    """

    def __init__(
        self,
        key: bytes,
        public: bytes,
        *,
        stored: Iterable[Checkpoint],
        elsewhere: Iterable[bytes] | None,
        checkpoint_every: int,
    ) -> None:
        self.report = Report()
        self._key = key
        self._every = checkpoint_every
        self._previous = (GENESIS, GENESIS)
        self._heads: dict[int, set[str]] = {}
        self._largest = 0
        self._take_checkpoints(public, list(stored), elsewhere)

    def add(self, row: Sequence[Any]) -> None:
        """The next row, as ``COLUMNS`` lists it; values of any type."""
        seq, body, prev, stored = row[:4]
        self._expect(seq)
        integrity = self.report.verdicts["integrity"]
        computed, said = "", None
        if type(body) is str and type(stored) is str:
            computed = digest(self._key, body.encode())
            try:
                said = orjson.loads(body)
            except ValueError:
                said = None
        if not computed or computed != stored:
            integrity.fault(seq, "the record is not what was hashed")
        elif type(said) is dict and (
            said.get("prev") != prev or any(said.get(name, "") != row[4 + at] for at, name in enumerate(REPEATED))
        ):
            integrity.fault(seq, "a column differs from the record")
        if type(said) is dict:
            if said.get("seq") != seq:
                self.report.verdicts["order"].fault(seq, "the record was made for another place")
            prev = said.get("prev")
        # Either hash of the one before: if they differ that is its own fault, and not of this one.
        if prev not in self._previous:
            self.report.verdicts["order"].fault(seq, "it does not follow the record before it")
        if seq in self._heads and self._heads[seq] - {stored, computed}:
            self.report.verdicts["tail"].fault(seq, "a checkpoint knows another record of this number")
        self._previous = (stored, computed)

    def unreadable(self, seq: int) -> None:
        """The next row cannot be read at all."""
        self._expect(seq)
        self.report.verdicts["integrity"].fault(seq, "the database cannot read the record")
        self._previous = ("", "")

    def unreadable_checkpoint(self, size: int) -> None:
        """A row of the table of checkpoints cannot be read."""
        self.report.verdicts["checkpoints"].fault(size, "the database cannot read the checkpoint")

    def broken_off(self) -> None:
        """The database is damaged: nothing after the last row can be read."""
        for question in ("integrity", "order"):
            self.report.verdicts[question].fault(self.report.last + 1, "the database is damaged from here on")

    def finish(self) -> Report:
        """No more rows."""
        report = self.report
        if self._largest > report.last:
            missing = self._largest - report.last
            report.verdicts["tail"].fault(report.last + 1, f"cut off: a checkpoint knows {missing} more")
        if not self._heads and report.last > self._every:
            report.verdicts["checkpoints"].fault(report.last, "a log this long has checkpoints, and there are none")
        return report

    def _expect(self, seq: int) -> None:
        report = self.report
        if seq != report.last + 1:
            missing = seq - report.last - 1
            says = f"{missing} missing" if missing > 0 else "a number that no record has"
            report.verdicts["order"].fault(min(seq, report.last + 1), says)
        report.records += 1
        report.last = seq

    def _take_checkpoints(self, public: bytes, stored: list[Checkpoint], elsewhere: Iterable[bytes] | None) -> None:
        verdict = self.report.verdicts["checkpoints"]
        known = set(stored)
        for checkpoint in stored:
            self._take(checkpoint, public, verdict)
        for line in elsewhere or ():
            if not line.endswith(b"\n"):
                continue  # being written, or cut short by a crash; the table has it
            try:
                checkpoint = Checkpoint.parse(orjson.loads(line))
            except (ValueError, AttributeError):
                verdict.fault(self._largest, "a line of the second place cannot be read")
                continue
            if checkpoint in known:
                continue
            if self._take(checkpoint, public, verdict):
                verdict.fault(checkpoint.size, "in the second place and not in the table")

    def _take(self, checkpoint: Checkpoint, public: bytes, verdict: Verdict) -> bool:
        if not holds(checkpoint, public):
            verdict.fault(checkpoint.size if type(checkpoint.size) is int else 0, "the signature does not hold")
            return False
        self._heads.setdefault(checkpoint.size, set()).add(checkpoint.head)
        self._largest = self.report.sealed = max(self._largest, checkpoint.size)
        return True
