"""Step 1 of 7: the windows and leases of all workers, in Redis or Valkey: one script call a request.

Keys are named ``rl:{<key ID>}:<seconds>`` and ``rl:{<key ID>}:inflight``: the braces keep one caller's keys in one slot
of a Redis Cluster. Nothing that a caller sent is part of them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from gateway.admission.decision import Decision, WindowState
from gateway.admission.plans import INFLIGHT
from gateway.admission.window_server import OTHER_GENERATION, WindowsInDoubtError, WindowsUnsettledError
from gateway.admission.window_servers import WindowServers

if TYPE_CHECKING:
    from gateway.admission.decision import Claim
    from gateway.admission.plans import Plan
    from gateway.admission.window_servers import Memory
    from gateway.settings import RedisSettings

_MAX_FORMS = 10_000


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
        memory: What this process let in, for a server that may have lost it.
        processes: Gateway processes that share the limits.

    Raises:
        ValueError: The URL is none of these.
    """

    def __init__(
        self,
        settings: RedisSettings,
        *,
        memory: Memory = lambda _belongs: (),
        processes: int = 1,
    ) -> None:
        self._servers = WindowServers(settings, memory, processes=processes)
        self._forms: dict[int, _Form] = {}

    @property
    def recoveries(self) -> int:
        """How often a server was told what it had lost."""
        return self._servers.recoveries

    async def settled(self, claim: Claim) -> None:
        """Wait until the windows of this caller's server are agreed upon.

        Raises:
            RedisAwayError: The server does not answer.
            WindowsUnsettledError: It takes too long.
        """
        held = await self._servers.of(claim.key_id)
        await held.recovery.settled()

    async def decide(self, claim: Claim, debt: tuple[int, ...]) -> Decision:
        """Charge every window and take the lease, or do neither.

        Args:
            claim: The request.
            debt: What was let in while Redis was away, a number a window or nothing; charged whatever the
                verdict.

        Raises:
            RedisAwayError: No verdict; it may have been charged.
            WindowsUnsettledError: No verdict and no charge, until ``settled``.
        """
        held = self._servers.one or await self._servers.of(claim.key_id)
        generation = held.recovery.generation
        if generation is None:
            raise WindowsUnsettledError
        plan, cost = claim.plan, claim.cost
        form = self._form(plan)
        tag = f"rl:{{{claim.key_id}}}:"
        keys = [tag + name for name in form.names]
        try:
            admitted, now, *rest = await held.server.decide(keys, generation, form.argument(claim, debt))
        except WindowsInDoubtError:
            held.recovery.lost(generation, doubt=True)
            raise
        if admitted == OTHER_GENERATION:
            held.recovery.lost(generation, doubt=False)
            raise WindowsUnsettledError
        states = []
        for place, window in enumerate(plan.windows):
            room, back, refused = rest[3 * place + 1 : 3 * place + 4]
            seconds = back / 1_000_000 if cost <= window.limit else float("inf")
            states.append(WindowState(window, window.limit, room, seconds, refused=bool(refused)))
        return Decision(plan, tuple(states), rest[0], plan.concurrency, bool(admitted), "shared", now / 1_000_000)

    async def release(self, key_id: str, lease: str) -> None:
        """End a lease. Raises RedisAwayError; the lease then ends by itself."""
        held = self._servers.one or await self._servers.of(key_id)
        await held.command("ZREM", f"rl:{{{key_id}}}:{INFLIGHT}", lease)

    async def ping(self) -> None:
        """Raises RedisAwayError if Redis does not answer, WindowsUnsettledError if its windows are in question."""
        for held in await self._servers.all():
            await held.command("PING")
            await held.recovery.settled()

    async def close(self) -> None:
        """Close the connections."""
        await self._servers.close()

    def _form(self, plan: Plan) -> _Form:
        form = self._forms.get(id(plan))
        if form is None or form.plan is not plan:
            if len(self._forms) >= _MAX_FORMS:
                self._forms.clear()
            form = self._forms[id(plan)] = _Form(plan)
        return form
