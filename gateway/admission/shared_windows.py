"""Step 1 of 7: the windows and leases of all workers, in Redis or Valkey: one script call a request.

Keys are named ``rl:{<key ID>}:<seconds>`` and ``rl:{<key ID>}:inflight``: the braces keep one caller's keys in one slot
of a Redis Cluster. Nothing that a caller sent is part of them.
"""

from __future__ import annotations

import asyncio
import struct
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, RedisError

from gateway.admission.decision import Decision, WindowState
from gateway.admission.plans import INFLIGHT
from gateway.admission.redis_connections import Connections
from gateway.admission.redis_url import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admission.decision import Claim
    from gateway.admission.plans import Plan
    from gateway.settings import RedisSettings

_MAX_FORMS = 10_000


class RedisAwayError(Exception):
    """Redis did not answer in time, or not as it should. Inside the limiter only."""


class _Form:
    """What the script's argument has of a plan, written once a plan."""

    __slots__ = ("concurrency", "limits", "names", "packed", "plan")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.names = (*(f"{window.seconds:g}" for window in plan.windows), INFLIGHT)
        self.concurrency = plan.concurrency or 0
        self.limits = [(window.limit, window.bucket_us, window.buckets) for window in plan.windows]
        self.packed = b"".join(_WINDOW.pack(*limit, 0) for limit in self.limits)

    def argument(self, claim: Claim, debt: tuple[int, ...]) -> bytes:
        lease_us = int(claim.lease_seconds * 1_000_000)
        head = _REQUEST.pack(claim.cost, lease_us, self.concurrency, claim.lease.encode())
        if not debt:
            return head + self.packed
        return head + b"".join(_WINDOW.pack(*limit, owed) for limit, owed in zip(self.limits, debt, strict=True))


_REQUEST = struct.Struct(">IQI16s")  # cost, length of the lease in us, concurrency, the lease's name
_WINDOW = struct.Struct(">IQBQ")  # limit, length of a sub-bucket in us, how many of them, debt


class SharedWindows:
    """Calls ``window.lua``.

    Args:
        settings: Its URL (see ``redis_url.py``), the longest wait for a call, connections.

    Raises:
        ValueError: The URL is none of these.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self._timeout = settings.timeout_seconds
        self._script = resources.files(__package__).joinpath("window.lua").read_text(encoding="utf-8")
        self._sha = ""
        self._redis = connect(settings)
        self._connections = Connections(self._redis)
        self._turns = asyncio.Semaphore(settings.pool_size)
        self._forms: dict[int, _Form] = {}

    async def decide(self, claim: Claim, debt: tuple[int, ...]) -> Decision:
        """Charge every window and take the lease, or do neither.

        Args:
            claim: The request.
            debt: What was let in while Redis was away, a number a window or nothing; charged whatever the
                verdict.

        Raises:
            RedisAwayError: No verdict; it may have been charged.
        """
        plan, cost = claim.plan, claim.cost
        form = self._form(plan)
        tag = f"rl:{{{claim.key_id}}}:"
        keys = [tag + name for name in form.names]
        admitted, now, held, *rest = await self._bounded(self._evaluate, keys, form.argument(claim, debt))
        states = []
        for place, window in enumerate(plan.windows):
            room, back, refused = rest[3 * place : 3 * place + 3]
            seconds = back / 1_000_000 if cost <= window.limit else float("inf")
            states.append(WindowState(window, window.limit, room, seconds, refused=bool(refused)))
        return Decision(plan, tuple(states), held, plan.concurrency, bool(admitted), "shared", now / 1_000_000)

    async def release(self, key_id: str, lease: str) -> None:
        """End a lease. Raises RedisAwayError; the lease then ends by itself."""
        await self._bounded(self._connections.call, "ZREM", f"rl:{{{key_id}}}:{INFLIGHT}", lease)

    async def ping(self) -> None:
        """Raises RedisAwayError if Redis does not answer."""
        await self._bounded(self._redis.ping)

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    def _form(self, plan: Plan) -> _Form:
        form = self._forms.get(id(plan))
        if form is None or form.plan is not plan:
            if len(self._forms) >= _MAX_FORMS:
                self._forms.clear()
            form = self._forms[id(plan)] = _Form(plan)
        return form

    async def _evaluate(self, keys: list[str], argument: bytes) -> list[int]:
        if not self._sha:
            self._sha = await self._redis.script_load(self._script)
        try:
            answer: list[int] = await self._connections.call("EVALSHA", self._sha, len(keys), *keys, argument)
        except NoScriptError:  # Redis was restarted or its scripts were flushed
            await self._redis.script_load(self._script)
            answer = await self._connections.call("EVALSHA", self._sha, len(keys), *keys, argument)
        return answer

    async def _bounded(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """One wait for all of it: a free connection, the connecting, the answer."""
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                return await call(*arguments)
        except (RedisError, OSError, TimeoutError) as error:
            raise RedisAwayError(f"{type(error).__name__}: {error}") from None
