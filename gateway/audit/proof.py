"""Step 7 of 7: what an export proves by: a signed statement of what went out, and the checkpoints over it.

Records that follow each other without a gap can be held against the checkpoints by anyone who has the public key: each
names the digest of the one before it, and a checkpoint the digest of the last (``chain.py``). A selection has gaps; of
it the statement says that these bytes are what the gateway gave away, each record as it was hashed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.audit.chain import time_text
from gateway.audit.statements import Signer, Statement, signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from gateway.audit.checkpoints import Checkpoint, Truncation


@dataclass(frozen=True, slots=True)
class ExportSeal(Statement):
    """What went out.

    Attributes:
        format: In which form.
        filters: Names of the filters that were set, with blanks between them.
        records: How many records.
        first: Number of the first; 0 if there was none.
        last: Number of the last.
        gaps: 1 if numbers between them were left out, else 0.
        altered: How many of them were not what had been hashed.
        bytes: Length of the output, without this proof.
        output_digest: SHA-256 of the output, hex.
        digest: SHA-256 of the last record's body, hex.
        time: When it was signed, UTC.
        key_id: See ``Statement``.
        signature: See ``Statement``.
    """

    type_name: ClassVar[str] = "cordon.audit.export"

    format: str
    filters: str
    records: int
    first: int
    last: int
    gaps: int
    altered: int
    bytes: int
    output_digest: str
    digest: str
    time: str
    key_id: str
    signature: str


def seal(signer: Signer, exported: Mapping[str, Any], time: datetime) -> ExportSeal:
    """The statement of an export that has ended.

    Args:
        signer: Holds the private key.
        exported: What its record in the log says: an ``AuditExported``.
        time: Now.
    """
    return signed(
        signer,
        ExportSeal(
            format=exported["format"],
            filters=" ".join(exported["filters"]),
            records=exported["records"],
            first=exported["first"],
            last=exported["last"],
            gaps=int(exported["gaps"]),
            altered=exported["altered"],
            bytes=exported["bytes"],
            output_digest=exported["output_digest"],
            digest=exported["digest"],
            time=time_text(time),
            key_id="",
            signature="",
        ),
    )


def proof_lines(statements: Iterable[Checkpoint | Truncation], export: ExportSeal) -> bytes:
    """The proof: a line a statement, the export's own last."""
    return b"".join([each.line() for each in statements]) + export.line()
