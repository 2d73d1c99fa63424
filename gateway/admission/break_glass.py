"""Step 1 of 7: keys for an emergency (``break_glass`` of ``policies/access.yaml``; 45 CFR 164.312(a)(2)(ii)).

Such a key is made at once, by one person, and may hold more than that person does: nobody is to be treated later for
want of a second signature. In return it lives for hours, holds no more than the policy lists, cannot be changed, cannot
make keys, and everyone hears of it: its issue and each of its uses is a critical line in the log and on record.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, StrictInt, StringConstraints, model_validator

from gateway.admission.policy_file import Strict
from gateway.errors import Forbidden, InvalidParameter

ISSUE = "keys:break-glass"
"""The scope of who may make one."""

BreakGlassReason = Literal["patient-care", "incident", "lockout", "downtime", "drill", "other"]
"""Codes, so that the record holds no free text; the sentence that goes with it stays with the key."""

REASONS: tuple[str, ...] = get_args(BreakGlassReason)
MAX_MINUTES = 240
MIN_NOTE = 10

_LASTING = frozenset({"keys:write", "clients:write", "keys:approve", ISSUE})
"""Scopes that make credentials: by them something would outlive the emergency."""


class BreakGlass(Strict):
    """What such a key may be.

    Attributes:
        scopes: What it may hold at most; none: no such keys.
        plan: Its plan.
        minutes: How long it lives if nothing is said.
        max_minutes: How long it may live.
    """

    scopes: tuple[Annotated[str, StringConstraints(min_length=1, max_length=65)], ...] = ()
    plan: Annotated[str, StringConstraints(min_length=1, max_length=64)] = "admin"
    minutes: StrictInt = Field(default=60, ge=1, le=MAX_MINUTES)
    max_minutes: StrictInt = Field(default=MAX_MINUTES, ge=1, le=MAX_MINUTES)

    @model_validator(mode="after")
    def _ends_with_the_emergency(self) -> Self:
        if lasting := sorted(_LASTING.intersection(self.scopes)):
            raise ValueError(f"break_glass.scopes must not hold {', '.join(lasting)}: what they make outlives the key")
        if self.minutes > self.max_minutes:
            raise ValueError("break_glass.minutes must not be more than max_minutes")
        return self

    def check(self, wanted: BreakGlassWanted) -> timedelta:
        """How long the wanted key lives.

        Raises:
            Forbidden: The policy offers none, or a scope that such a key may not hold; the detail names it.
            InvalidParameter: No reason, no sentence that says more, or a life that is too long.
        """
        if not self.scopes:
            raise Forbidden("The access policy offers no break-glass keys")
        if wanted.reason not in REASONS:
            raise InvalidParameter(f"The reason is one of: {', '.join(REASONS)}", parameter="reason")
        if len(wanted.note.strip()) < MIN_NOTE:
            raise InvalidParameter(f"Say why in a sentence of at least {MIN_NOTE} characters", parameter="note")
        for scope in sorted(wanted.scopes.difference(self.scopes)):
            raise Forbidden(f"No break-glass key may hold the scope {scope}", scope=scope)
        minutes = self.minutes if wanted.minutes is None else wanted.minutes
        if not 1 <= minutes <= self.max_minutes:
            raise InvalidParameter(f"Such a key lives 1 to {self.max_minutes} minutes", parameter="minutes")
        return timedelta(minutes=minutes)


@dataclass(frozen=True, slots=True)
class BreakGlassWanted:
    """What someone asks for in an emergency.

    Attributes:
        owner: Who will use it: a person.
        tenant: The organisation.
        scopes: What it is for; all that the policy allows if none is named.
        reason: A code of ``REASONS``.
        note: The same in a sentence. For the administrators of the tenant; not on record.
        minutes: How long it lives; None is the policy's own.
    """

    owner: str
    tenant: str
    scopes: frozenset[str]
    reason: str
    note: str
    minutes: int | None = None
