"""Step 1 of 7: who changes keys and switches: a caller with a credential, or the operator at the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from uuid import uuid4

if TYPE_CHECKING:
    from gateway.admission.principal import Admission

OPERATOR = "cli"
"""The operator at the machine, on record: whoever has the database, the pepper and the audit log's key."""


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who asks for a change.

    The operator at the machine is held to no scope and no tenant: they could write the row by hand. What they do is on
    record like everyone's.

    Attributes:
        request_id: Correlation ID of the request, or of the command.
        key_id: Public ID of the credential; ``cli`` for the operator.
        tenant: Whose keys there are for them; empty for the operator, for whom there are all.
        person: Who it is, as far as that is known: the owner of an API key; of any other credential its own ID.
        scopes: What they may do; of no meaning for the operator.
    """

    request_id: str
    key_id: str
    tenant: str
    person: str
    scopes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, admission: Admission) -> Self:
        """The caller of a request."""
        principal = admission.principal
        person = principal.owner if principal.key_id.startswith("key_") else principal.key_id
        return cls(admission.request_id, principal.key_id, principal.tenant, person, principal.scopes)

    @classmethod
    def operator(cls) -> Self:
        """Whoever runs a command at the machine."""
        return cls(str(uuid4()), OPERATOR, "", OPERATOR)

    @property
    def at_the_machine(self) -> bool:
        """Whether it is the operator."""
        return self.key_id == OPERATOR

    @property
    def within(self) -> str | None:
        """The tenant whose things there are for them; None is all."""
        return None if self.at_the_machine else self.tenant

    @property
    def who(self) -> tuple[str, str, str]:
        """The first three fields of an audit event."""
        return self.request_id, self.key_id, self.tenant

    def is_person(self, other: str) -> bool:
        """Whether that is the same person, however the name was typed."""
        return _plain(self.person) == _plain(other)


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
