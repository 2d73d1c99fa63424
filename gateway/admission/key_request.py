"""Step 1 of 7: a change of a key that waits for a second pair of eyes, and how it is kept in SQL.

Nothing of it is in force: a key that is to be issued is not in the table of keys, so its secret opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from gateway.admission.key_record import NewKey

if TYPE_CHECKING:
    from sqlalchemy import Row

Kind = Literal["issue", "update", "rotate"]
Decision = Literal["approved", "rejected", "withdrawn", "expired"]


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What someone asks for, and what became of it.

    Attributes:
        request_id: ``req_`` and twelve characters.
        kind: What is to be done.
        key_id: The key that it is about; of an issue, the one that the key will have.
        new: The key as it would be.
        changed: Names of the fields that an update changes.
        overlap: Of a rotation.
        revision: Of the key, when it was asked for; 0 for an issue.
        requested_by: Public ID of the credential.
        person: Whose it is, see ``Administrator``.
        expires_at: Void from then on.
        digest: Of the secret that would be put into force; None once it is decided.
        decision: None while it waits.
    """

    request_id: str
    kind: Kind
    key_id: str
    new: NewKey
    changed: tuple[str, ...]
    overlap: timedelta
    revision: int
    requested_by: str
    person: str
    requested_at: datetime
    expires_at: datetime
    digest: bytes | None = field(default=None, repr=False)
    decision: Decision | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None

    def status(self, now: datetime) -> str:
        """``pending``, or the decision."""
        return self.decision or ("expired" if self.expires_at <= now else "pending")


def to_row(request: KeyRequest) -> dict[str, Any]:
    """Its row of ``key_requests``."""
    new = request.new
    return {
        "request_id": request.request_id,
        "kind": request.kind,
        "key_id": request.key_id,
        "tenant": new.tenant,
        "change": {
            "owner": new.owner,
            "scopes": sorted(new.scopes),
            "plan": new.plan,
            "limits": dict(new.limits),
            "expires_at": new.expires_at.isoformat() if new.expires_at else None,
            "addresses": list(new.addresses),
            "note": new.note,
            "created_by": new.created_by,
            "changed": list(request.changed),
            "overlap_seconds": int(request.overlap.total_seconds()),
        },
        "revision": request.revision,
        "digest": request.digest,
        "requested_by": request.requested_by,
        "person": request.person,
        "requested_at": request.requested_at,
        "expires_at": request.expires_at,
    }


def from_row(row: Row[Any]) -> KeyRequest:
    """The request of a row."""
    change = row.change
    new = NewKey(
        owner=change["owner"],
        tenant=row.tenant,
        scopes=frozenset(change["scopes"]),
        plan=change["plan"],
        expires_at=datetime.fromisoformat(change["expires_at"]) if change["expires_at"] else None,
        addresses=tuple(change["addresses"]),
        note=change["note"],
        created_by=change["created_by"],
        limits=tuple(sorted(change["limits"].items())),
    )
    return KeyRequest(
        request_id=row.request_id,
        kind=row.kind,
        key_id=row.key_id,
        new=new,
        changed=tuple(change["changed"]),
        overlap=timedelta(seconds=change["overlap_seconds"]),
        revision=row.revision,
        requested_by=row.requested_by,
        person=row.person,
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        digest=row.digest,
        decision=row.decision,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
    )
