"""Step 1 of 7: bounds failed authentication by address: guessing costs the guesser, not the key store."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from gateway.errors import QuotaExceeded

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ADDRESSES = 10_000


class FailureLimit:
    """A token bucket an address: ``burst`` failures at once, and one more every ``seconds / burst``.

    An IPv6 caller has a whole network of addresses, so its /64 counts as one. Bounded: the address that failed longest
    ago is forgotten first. Addresses stay in memory and are never logged.

    Args:
        burst: Failures at once.
        seconds: Time after which all of them are forgiven.
        now: A monotonic clock, seconds.
    """

    def __init__(self, *, burst: int = 20, seconds: float = 60.0, now: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._pause = seconds / burst
        self._now = now
        self._clear_at: OrderedDict[str, float] = OrderedDict()  # when all failures of the address are forgiven

    def check(self, address: str) -> None:
        """Raises QuotaExceeded if the address has failed too often of late."""
        wait = self._clear_at.get(_network(address), 0.0) - self._now() - (self._burst - 1) * self._pause
        if wait > 0:
            raise QuotaExceeded(
                "Too many failed attempts from this address",
                retry_after=wait,
                **{"violated-policies": ["failed-authentication"]},
            )

    def record(self, address: str) -> None:
        """Count a failure."""
        network, now = _network(address), self._now()
        self._clear_at[network] = max(self._clear_at.get(network, now), now) + self._pause
        self._clear_at.move_to_end(network)
        if len(self._clear_at) > MAX_ADDRESSES:
            self._clear_at.popitem(last=False)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a unix socket, or a server that does not tell
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
