"""Limiters on the run's Valkey, and callers for them."""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import SecretStr

from gateway.admission.limiter import Limiter
from gateway.admission.plans import Plan, Plans, Window
from gateway.admission.principal import Principal
from gateway.admission.window_server import WindowsUnsettledError
from gateway.errors import QuotaExceeded
from gateway.settings import RedisSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.admission.decision import Claim, Decision
    from gateway.admission.shared_windows import SharedWindows
    from tests.support.valkey import ValkeyServer

HEAD, SUM = struct.Struct(">BBQ"), struct.Struct(">Q")

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


async def decide(windows: SharedWindows, claim: Claim, debt: tuple[int, ...] = ()) -> Decision:
    """Its verdict, as soon as there is one."""
    while True:
        try:
            return await windows.decide(claim, debt)
        except WindowsUnsettledError:
            await windows.settled(claim)


class StoredWindow(NamedTuple):
    """A window as ``window.lua`` keeps it."""

    newest: int
    charges: tuple[int, ...]
    total: int

    @classmethod
    def read(cls, server: ValkeyServer, name: str) -> StoredWindow:
        """What is stored under that name, held against itself."""
        with server.client(text=False) as client:
            stored: bytes = client.get(name)
        width, oldest, newest = HEAD.unpack_from(stored)
        cells = stored[HEAD.size : -SUM.size]
        charges = tuple(int.from_bytes(cells[at : at + width], "big") for at in range(0, len(cells), width))
        (total,) = SUM.unpack(stored[-SUM.size :])
        assert sum(charges) == total
        assert [bool(charge) for charge in charges].index(True) == oldest
        return cls(newest, charges, total)
