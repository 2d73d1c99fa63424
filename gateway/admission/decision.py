"""Step 1 of 7: the limiter's verdict, and how the caller is told of it (draft-ietf-httpapi-ratelimit-headers).

Field names, lists of quoted strings and the parameters ``q w qu r t`` are the draft's (editor's copy of 2025-09-23).
``pk`` is left out: it would tell the caller nothing new.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from gateway.admission.plans import INFLIGHT
from gateway.errors import QuotaExceeded

if TYPE_CHECKING:
    from gateway.admission.plans import Plan, Window

_INFLIGHT_RETRY_SECONDS = 1.0  # when a running request will end, nobody knows
_JITTER = 0.1

Source = Literal["shared", "local", "open", "none"]


class Claim(NamedTuple):
    """What one request asks of its caller's limits.

    Attributes:
        key_id: The caller.
        plan: The caller's plan.
        cost: What to charge to every window.
        lease: A name that no other request has.
        lease_seconds: When the lease ends by itself.
        at: When it was made, on a monotonic clock, seconds.
    """

    key_id: str
    plan: Plan
    cost: int
    lease: str
    lease_seconds: float
    at: float


class WindowState(NamedTuple):
    """One window after the decision.

    Attributes:
        window: Its name, limit and length.
        limit: The limit that was held: the window's, or this process's share of it while Redis is away.
        remaining: Room left.
        back: Seconds until room comes back; for a refusing window, until this cost fits. inf if it never does.
        refused: Whether it refuses.
    """

    window: Window
    limit: int
    remaining: int
    back: float
    refused: bool = False


class Decision(NamedTuple):
    """What the limiter decided about one request.

    Attributes:
        plan: The plan that it was held against.
        windows: Each window's state.
        running: The caller's requests that are running, this one included if it was admitted.
        concurrency: The bound on them that was held; None is unbounded.
        admitted: Whether all windows and the bound let it in.
        source: Who counted: Redis for all workers, this process alone, nobody (``open``), or there is nothing to count.
        at: Redis's clock at the decision, seconds; 0 if Redis was not asked.
    """

    plan: Plan
    windows: tuple[WindowState, ...] = ()
    running: int = 0
    concurrency: int | None = None
    admitted: bool = True
    source: Source = "none"
    at: float = 0.0

    @property
    def violated(self) -> tuple[str, ...]:
        """Names of the limits that refuse."""
        names = [state.window.name for state in self.windows if state.refused]
        if not self.admitted and self.concurrency is not None and self.running >= self.concurrency:
            names.append(INFLIGHT)
        return tuple(names)

    @property
    def refused_for(self) -> float:
        """Seconds for which the windows refuse this cost, whatever ends meanwhile; 0 if none of them refuses."""
        return max((state.back for state in self.windows if state.refused), default=0.0)

    @property
    def retry_after(self) -> float | None:
        """Seconds until the same request would be let in if nothing else came; None if never, or if it was."""
        running = _INFLIGHT_RETRY_SECONDS if INFLIGHT in self.violated else 0.0
        wait = max(self.refused_for, running)
        return wait if 0 < wait < math.inf else None

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """``RateLimit-Policy`` and ``RateLimit``; none where nothing is limited. Belongs on refusals too."""
        policy = [
            f'"{state.window.name}";q={state.limit};w={math.ceil(state.window.seconds)}' for state in self.windows
        ]
        limit = [
            f'"{state.window.name}";r={max(0, state.remaining)};t={_seconds(state.back)}' for state in self.windows
        ]
        if self.concurrency is not None:
            policy.append(f'"{INFLIGHT}";q={self.concurrency};qu="concurrent-requests"')
            limit.append(f'"{INFLIGHT}";r={max(0, self.concurrency - self.running)}')
        if not policy:
            return ()
        return ("RateLimit-Policy", ", ".join(policy)), ("RateLimit", ", ".join(limit))


class LimitReached(QuotaExceeded):
    """A QuotaExceeded of the limiter. ``headers`` belong on its answer, beside ``Retry-After``."""

    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """The refusal, with what is used up and when to come back.

        Retry-After gets up to a tenth on top: callers that were refused together should not come back together.
        """
        violated = decision.violated
        wait = decision.retry_after
        if wait is None:
            detail = f"The request costs more than the limit ever allows: {', '.join(violated)}"
        else:
            wait *= 1 + random.uniform(0, _JITTER)  # noqa: S311 - spreads load, protects nothing
            detail = f"The limit is used up: {', '.join(violated)}"
        error = cls(detail, retry_after=wait, **{"violated-policies": list(violated)})
        error.headers = decision.headers
        return error


def _seconds(back: float) -> int:
    return math.ceil(back) if math.isfinite(back) else 0
