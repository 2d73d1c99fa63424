"""Step 7 of 7: signed statements of how long the log was, and of what was given up.

A chain alone cannot tell that its last records were cut off. A checkpoint says "there were ``size`` records, the last
with the hash ``head``"; kept in a second place, it outlives the cut. A truncation says the same of the records that the
retention policy let go: the chain goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.audit.chain import Head, time_text
from gateway.audit.statements import Signer, Statement, TrustedKeys, holds, key_id_of, signed

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Checkpoint", "Signer", "Truncation", "TrustedKeys", "checkpoint", "holds", "key_id_of", "truncation"]


@dataclass(frozen=True, slots=True)
class Checkpoint(Statement):
    """How long the log was.

    Attributes:
        size: Records in the log, those that were given up included.
        head: Hash of the last of them, hex.
        time: When it was signed, UTC.
        key_id: See ``Statement``.
        signature: See ``Statement``.
        digest: SHA-256 of the last record's body, hex, which anyone can compute: it names the record before it by the
            same digest, and so on, so that who has no key of the chain can hold an export against the statement. Empty
            in statements of schema 1, which have none.
    """

    type_name: ClassVar[str] = "cordon.audit.checkpoint"

    size: int
    head: str
    time: str
    key_id: str
    signature: str
    digest: str = ""

    @property
    def schema(self) -> int:
        """1 has no digest."""
        return 2 if self.digest else 1

    def members(self) -> dict[str, Any]:
        """See ``Statement``."""
        said = Statement.members(self)
        if not self.digest:
            del said["digest"]
        return said


@dataclass(frozen=True, slots=True)
class Truncation(Statement):
    """What was given up: the records up to ``size``.

    Attributes:
        size: Number of the last of them.
        head: Its hash, hex.
        digest: SHA-256 of its body, hex; what the first record that is left names as the one before it.
        time: When it was signed, UTC.
        before: The time before which all of them were made, UTC.
        key_id: See ``Statement``.
        signature: See ``Statement``.
    """

    type_name: ClassVar[str] = "cordon.audit.truncation"

    size: int
    head: str
    digest: str
    time: str
    before: str
    key_id: str
    signature: str


def checkpoint(signer: Signer, head: Head, time: datetime) -> Checkpoint:
    """The checkpoint of a log that ends with ``head``."""
    return signed(signer, Checkpoint(head.seq, head.hash, time_text(time), "", "", head.digest))


def truncation(signer: Signer, last: Head, before: datetime, time: datetime) -> Truncation:
    """The statement that the records up to ``last``, all made before ``before``, were given up."""
    return signed(signer, Truncation(last.seq, last.hash, last.digest, time_text(time), time_text(before), "", ""))
