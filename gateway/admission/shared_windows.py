"""Step 1 of 7: the windows and leases of all workers, in Redis or Valkey: one script call a request.

Keys are named ``rl:{<key ID>}:<seconds>`` and ``rl:{<key ID>}:inflight``: the braces keep one caller's keys in one slot
of a Redis Cluster. Nothing that a caller sent is part of them.
"""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import TYPE_CHECKING, Any

import orjson
from redis.exceptions import NoScriptError, RedisError

from gateway.admission.decision import Decision, WindowState
from gateway.admission.plans import INFLIGHT
from gateway.admission.redis_url import close, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admission.decision import Claim
    from gateway.settings import RedisSettings


class RedisAwayError(Exception):
    """Redis did not answer in time, or not as it should. Inside the limiter only."""


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
        self._turns = asyncio.Semaphore(settings.pool_size)

    async def decide(self, claim: Claim, debt: tuple[int, ...]) -> Decision:
        """Charge every window and take the lease, or do neither.

        Args:
            claim: The request.
            debt: What was let in while Redis was away, a number a window; charged whatever the verdict.

        Raises:
            RedisAwayError: No verdict; it may have been charged.
        """
        plan, cost = claim.plan, claim.cost
        tag = f"rl:{{{claim.key_id}}}:"
        keys = [f"{tag}{window.seconds:g}" for window in plan.windows] + [tag + INFLIGHT]
        limits = [
            (window.limit, window.bucket_us, window.buckets, owed)
            for window, owed in zip(plan.windows, debt, strict=True)
        ]
        lease_us = int(claim.lease_seconds * 1_000_000)
        argument = orjson.dumps((cost, claim.lease, lease_us, plan.concurrency or 0, limits))
        admitted, now, held, *rest = await self._bounded(self._evaluate, keys, argument)
        states = (
            WindowState(
                window,
                window.limit,
                rest[3 * i],
                float("inf") if cost > window.limit else rest[3 * i + 1] / 1_000_000,
                refused=bool(rest[3 * i + 2]),
            )
            for i, window in enumerate(plan.windows)
        )
        return Decision(plan, tuple(states), held, plan.concurrency, bool(admitted), "shared", now / 1_000_000)

    async def release(self, key_id: str, lease: str) -> None:
        """End a lease. Raises RedisAwayError; the lease then ends by itself."""
        await self._bounded(self._redis.zrem, f"rl:{{{key_id}}}:{INFLIGHT}", lease)

    async def ping(self) -> None:
        """Raises RedisAwayError if Redis does not answer."""
        await self._bounded(self._redis.ping)

    async def close(self) -> None:
        """Close the connections."""
        await close(self._redis)

    async def _evaluate(self, keys: list[str], argument: bytes) -> list[int]:
        if not self._sha:
            self._sha = await self._redis.script_load(self._script)
        try:
            answer: list[int] = await self._redis.evalsha(self._sha, len(keys), *keys, argument)
        except NoScriptError:  # Redis was restarted or its scripts were flushed
            await self._redis.script_load(self._script)
            answer = await self._redis.evalsha(self._sha, len(keys), *keys, argument)
        return answer

    async def _bounded(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """One wait for all of it: a free connection, the connecting, the answer."""
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                return await call(*arguments)
        except (RedisError, OSError, TimeoutError) as error:
            raise RedisAwayError(f"{type(error).__name__}: {error}") from None
