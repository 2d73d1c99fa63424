"""Limiters on the run's Valkey, and callers for them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from gateway.admission.limiter import Limiter
from gateway.admission.plans import Plan, Plans, Window
from gateway.admission.principal import Principal
from gateway.errors import QuotaExceeded
from gateway.settings import RedisSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.valkey import ValkeyServer

MINUTE = Window(name="minute", limit=10, seconds=60)
DAY = Window(name="day", limit=3, seconds=86400)


def caller(plan: str = "plan", key_id: str = "key_a") -> Principal:
    return Principal(key_id, "owner", "tenant", frozenset(), plan)


@asynccontextmanager
async def limiter_at(server: ValkeyServer, plan: Plan, **options: Any) -> AsyncIterator[Limiter]:
    # Generous against a busy machine; what a caller waits for when Redis hangs has a test of its own.
    timeout = options.pop("timeout_seconds", 2.0)
    settings = RedisSettings(url=SecretStr(server.url), timeout_seconds=timeout)
    limiter = Limiter(settings, Plans({"plan": plan, "free": Plan()}), **options)
    try:
        yield limiter
    finally:
        await limiter.close()


async def admitted(limiter: Limiter, tries: int, principal: Principal | None = None, cost: int = 1) -> int:
    count = 0
    for number in range(tries):
        try:
            await limiter.acquire(principal or caller(), f"request-{number}", cost)
            count += 1
        except QuotaExceeded:
            pass
    return count
