"""Step 1 of 7: the caller, once known."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.deadline import NEVER, Deadline


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, and what they may.

    Attributes:
        key_id: Stable public ID of the credential; survives rotation.
        owner: The named person or system that the credential belongs to.
        tenant: The organisation; nothing crosses it.
        scopes: What they may do.
        plan: Name of their plan in ``policies/plans.yaml``.
        limits: Limits of their own in place of the plan's, by name; in the order of the names.
        break_glass: Why the credential was made for an emergency, as a code; empty for an ordinary one.
    """

    key_id: str
    owner: str
    tenant: str
    scopes: frozenset[str]
    plan: str
    limits: tuple[tuple[str, int], ...] = ()
    break_glass: str = ""


@dataclass(frozen=True, slots=True)
class Admission:
    """A request let in: decided from its head alone, before its body was read.

    Attributes:
        principal: The caller.
        request_id: Correlation ID; goes into every log line, the audit record, and to Triton.
        route: The route's template (``POST /v1/predict``), never the raw path.
        address: The peer's address. Identifying by HIPAA: for the audit store only, never for a log.
        headers: Response headers that admission wants on the answer (``RateLimit``, ``RateLimit-Policy``).
        deadline: Until when the caller waits.
        plan_seconds: Longest that its plan lets it take once the body is in; None is unbounded.
    """

    principal: Principal
    request_id: str
    route: str
    address: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    deadline: Deadline = NEVER
    plan_seconds: float | None = None
