"""Step 1 of 7: which keys need a second pair of eyes, and whose (``four_eyes`` of ``policies/access.yaml``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, StrictInt, StringConstraints, model_validator

from gateway.admission.policy_file import Strict

if TYPE_CHECKING:
    from collections.abc import Iterable

APPROVE = "keys:approve"
"""The scope of who approves or rejects."""
WRITE = "keys:write"
"""The scope of who asks."""

_UNGUARDED = frozenset({"note"})


class FourEyes(Strict):
    """A key that holds one of ``scopes`` is issued, changed or rotated only when another has approved it.

    Attributes:
        scopes: Which; none switches the rule off.
        hours: How long a request waits before it is void.
    """

    scopes: tuple[Annotated[str, StringConstraints(min_length=1, max_length=65)], ...] = ()
    hours: StrictInt = Field(default=24, ge=1, le=168)

    @model_validator(mode="after")
    def _guards_itself(self) -> Self:
        if self.scopes and APPROVE not in self.scopes:
            raise ValueError(f"four_eyes.scopes needs {APPROVE}: else one person could make themselves the second")
        return self

    def guards(self, scopes: Iterable[str], changed: Iterable[str] = ("scopes",)) -> bool:
        """Whether a change needs another's approval.

        Args:
            scopes: What the key would hold after it.
            changed: Names of the fields that it changes. A note alone gives nobody anything.
        """
        return not set(self.scopes).isdisjoint(scopes) and not _UNGUARDED.issuperset(changed)
