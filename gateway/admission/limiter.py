"""Step 1 of 7: how often a caller may come, and how many of its requests may run at once.

Never more than N in any window, at every instant, over all workers, while Redis is there: ``window.lua`` decides. While
it is away, the failure policy does: ``local`` (each process admits its share of every limit, at least 1), ``closed``
(503), ``open``. But for ``open``, a process by itself never admits more than N in any window, come what may.

When Redis may have lost what it was told, requests wait until all processes have told it again
(``window_recovery.py``), mostly some tens of milliseconds; two seconds at the most, then 503.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

import structlog

from gateway.admission.breaker import Breaker
from gateway.admission.decision import Claim, Decision, LimitReached
from gateway.admission.local_windows import LocalWindows
from gateway.admission.shared_windows import SharedWindows
from gateway.admission.window_server import RedisAwayError, WindowsUnsettledError, now_us
from gateway.errors import LimiterUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.admission.plans import Plan, Plans
    from gateway.admission.principal import Principal
    from gateway.settings import RedisSettings

log = structlog.get_logger(__name__)

FailurePolicy = Literal["local", "closed", "open"]

_MAX_REFUSALS = 10_000
_MAX_UNRELEASED = 10_000
_REFUSAL_SECONDS = 1.0  # longest that a refusal is repeated without asking: a new plan holds after that


class Limiter:
    """Windows and concurrency of every caller.

    Args:
        settings: Where Redis is.
        plans: Of ``policies/plans.yaml``.
        failure: What to do while Redis is away.
        workers: Gateway processes that share the limits.
        notify: Told True when Redis is held to be away, and False when it answers again. Must not block.
    """

    def __init__(
        self,
        settings: RedisSettings,
        plans: Plans,
        *,
        failure: FailurePolicy = "local",
        workers: int = 1,
        notify: Callable[[bool], None] = lambda _away: None,
    ) -> None:
        self._notify = notify
        self._plans = plans
        self._failure = failure
        self._local = LocalWindows(workers)
        self._shared = SharedWindows(
            settings, memory=lambda belongs: self._local.remembered(now_us(), belongs), processes=workers
        )
        self._breaker = Breaker()
        self._refusals: OrderedDict[str, tuple[int, float, Decision]] = OrderedDict()
        # A caller may choose its request IDs, and choose one twice: the lease's name is ours.
        self._leases: dict[tuple[str, str], list[tuple[str, bool]]] = {}
        self._unreleased: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._catching_up = False
        self._background: set[asyncio.Task[None]] = set()

    @property
    def degraded(self) -> bool:
        """Whether Redis is held to be away."""
        return self._breaker.open

    @property
    def recoveries(self) -> int:
        """How often this process has told a Redis what that had lost."""
        return self._shared.recoveries

    async def acquire(
        self, principal: Principal, request_id: str, cost: int = 1, lease_seconds: float = 60.0
    ) -> Decision:
        """Charge the request to every window of the caller and take its lease, or do neither.

        Every acquired request must be released, however it ends; a lease that is not ends after ``lease_seconds``.

        Args:
            principal: The caller.
            request_id: To release it by.
            cost: What it is charged; 1 or more.
            lease_seconds: Longest that it may run.

        Returns:
            The decision; its ``headers`` belong on the answer.

        Raises:
            LimitReached: A QuotaExceeded; its ``headers`` belong on the answer too.
            LimiterUnavailable: Redis is away and the failure policy is ``closed``.
            Forbidden: The caller's plan does not exist.
        """
        plan = self._plans.of(principal.plan, principal.limits)
        if plan.unlimited:
            return Decision(plan)
        key_id = principal.key_id
        decision = self._known_refusal(key_id, plan, cost)
        if decision is None:
            claim = Claim(key_id, plan, cost, secrets.token_hex(8), lease_seconds, time.monotonic())
            decision = await self._decide(claim)
            if decision.admitted:
                leases = self._leases.setdefault((key_id, request_id), [])
                leases.append((claim.lease, decision.source == "shared" and plan.concurrency is not None))
            else:
                self._remember_refusal(key_id, cost, decision)
        if decision.admitted:
            return decision
        if plan.shadow:
            log.info("limiter.shadow", key_id=key_id, violated=decision.violated)
            return decision._replace(admitted=True)
        raise LimitReached.of(decision)

    async def release(self, principal: Principal, request_id: str) -> None:
        """End the request's lease. Never raises; goes on to its end if the caller is cancelled meanwhile."""
        leases = self._leases.get((principal.key_id, request_id))
        if not leases:
            return
        lease, shared = leases.pop()
        if not leases:
            del self._leases[principal.key_id, request_id]
        self._local.release(principal.key_id, lease)
        if shared:
            await asyncio.shield(self._in_background(self._release_shared(principal.key_id, lease)))

    async def ping(self) -> None:
        """Raises LimiterUnavailable if Redis does not answer."""
        try:
            await self._shared.ping()
        except (RedisAwayError, WindowsUnsettledError):
            raise LimiterUnavailable from None

    async def close(self) -> None:
        """Finish the releases that are under way and close the connections."""
        if self._background:
            await asyncio.wait(self._background)
        await self._shared.close()

    async def _decide(self, claim: Claim) -> Decision:
        while True:
            if (refusal := self._local.hold(claim)) is not None:
                return refusal
            try:
                if not self._breaker.allows():
                    break
                return await self._together(claim)
            except RedisAwayError as error:
                self._failed(error)
                break
            except WindowsUnsettledError:
                self._local.refund(claim)
            try:
                await self._shared.settled(claim)
            except RedisAwayError as error:
                self._failed(error)
                return self._alone(claim)
            except WindowsUnsettledError:
                if self._failure == "open":
                    return Decision(claim.plan, source="open")
                raise LimiterUnavailable from None
            claim = claim._replace(at=time.monotonic())
        self._local.refund(claim)
        return self._alone(claim)

    async def _together(self, claim: Claim) -> Decision:
        debt = self._local.take_debt(claim)
        try:
            decision = await self._shared.decide(claim, debt)
        except (RedisAwayError, WindowsUnsettledError) as error:
            self._local.owe(claim, debt)
            if isinstance(error, RedisAwayError) and claim.plan.concurrency is not None:
                self._release_later(claim.key_id, claim.lease)  # the answer is lost, the lease may be there
            raise
        except BaseException:  # cancelled: whether it was charged is not known, so it stays charged
            self._local.owe(claim, debt)
            self._local.release(claim.key_id, claim.lease)
            self._in_background(self._release_shared(claim.key_id, claim.lease))
            raise
        if self._breaker.succeeded():
            log.info("limiter.redis-back")
            self._notify(False)
        self._catch_up()
        if not decision.admitted:
            self._local.refund(claim)
        return decision

    def _failed(self, error: RedisAwayError) -> None:
        if self._breaker.failed():
            log.warning("limiter.redis-away", failure=self._failure, cause=str(error))
            self._notify(True)

    def _alone(self, claim: Claim) -> Decision:
        """Decide without Redis. The reservation that was made with it in mind is to be taken back before."""
        if self._failure == "closed":
            raise LimiterUnavailable
        if self._failure == "open":
            return Decision(claim.plan, source="open")
        decision = self._local.decide(claim)
        if decision.admitted:
            self._local.owe(claim, (claim.cost,) * len(claim.plan.windows))
        return decision

    async def _release_shared(self, key_id: str, lease: str) -> None:
        if not self._breaker.allows():
            self._release_later(key_id, lease)
            return
        try:
            await self._shared.release(key_id, lease)
        except RedisAwayError:
            self._release_later(key_id, lease)
            if self._breaker.failed():
                self._notify(True)
        else:
            if self._breaker.succeeded():
                self._notify(False)
            self._catch_up()

    def _release_later(self, key_id: str, lease: str) -> None:
        """Once Redis answers: else its caller would have a place less until the lease ends by itself."""
        self._unreleased[key_id, lease] = None
        if len(self._unreleased) > _MAX_UNRELEASED:
            self._unreleased.popitem(last=False)

    def _catch_up(self) -> None:
        if self._unreleased and not self._catching_up:
            self._catching_up = True
            self._in_background(self._release_owed())

    async def _release_owed(self) -> None:
        try:
            while self._unreleased:
                key_id, lease = next(iter(self._unreleased))
                await self._shared.release(key_id, lease)
                self._unreleased.pop((key_id, lease), None)
        except RedisAwayError:
            pass  # when it next answers
        finally:
            self._catching_up = False

    def _in_background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def _known_refusal(self, key_id: str, plan: Plan, cost: int) -> Decision | None:
        """A refusal that still holds: abuse costs no trip to Redis."""
        if (known := self._refusals.get(key_id)) is None:
            return None
        refused_cost, at, decision = known
        elapsed = time.monotonic() - at
        if elapsed >= min(_REFUSAL_SECONDS, decision.refused_for) or decision.plan is not plan:
            del self._refusals[key_id]
            return None
        if cost < refused_cost:
            return None
        states = tuple(state._replace(back=max(0.0, state.back - elapsed)) for state in decision.windows)
        return decision._replace(windows=states)

    def _remember_refusal(self, key_id: str, cost: int, decision: Decision) -> None:
        if decision.source != "shared" or not decision.refused_for:
            return  # what this process refuses costs no trip anyway; a running request may end at any time
        self._refusals[key_id] = (cost, time.monotonic(), decision)
        self._refusals.move_to_end(key_id)
        if len(self._refusals) > _MAX_REFUSALS:
            self._refusals.popitem(last=False)
