"""Step 1 of 7: the server that holds a caller's windows: the only one, the master behind Sentinel, or a Cluster's node.

In a Cluster time and loss are a node's: each has a generation of its own, whose keys lie in a slot of that node. A slot
that moves to another node takes callers' windows with it, but neither clock nor generation: those windows are then as
exact as the two clocks agree. While it is being moved, its callers are treated as if Redis were away.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.asyncio import RedisCluster
from redis.exceptions import RedisError

from gateway.admission.redis_url import close, connect, node
from gateway.admission.window_recovery import Recovery
from gateway.admission.window_server import (
    Names,
    RedisAwayError,
    WindowServer,
    WindowsInDoubtError,
    WindowsUnsettledError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.admission.local_windows import Remembered
    from gateway.settings import RedisSettings

    Memory = Callable[[Callable[[str], bool]], Iterable[Remembered]]

_REFRESH_SECONDS = 0.5


class Held(NamedTuple):
    """A server, and what is agreed upon with it."""

    server: WindowServer
    recovery: Recovery

    async def command(self, *command: str) -> None:
        """A command of which the answer is of no interest. Raises RedisAwayError."""
        try:
            await self.server.command(*command)
        except WindowsInDoubtError:  # a new connection, and another server: what it has will be told anew
            if self.recovery.generation is not None:
                self.recovery.lost(self.recovery.generation, doubt=True)
            await self.server.command(*command)
        except WindowsUnsettledError as error:
            raise RedisAwayError(str(error)) from None

    async def close(self) -> None:
        """Stop the pulses and close the connections."""
        await self.recovery.close()
        await self.server.close()


class WindowServers:
    """All that a URL stands for.

    Args:
        settings: The URL, the longest wait for a call, connections.
        memory: What this process let in, of those callers of which it is told that they belong.
        processes: Gateway processes that share the limits.
    """

    def __init__(self, settings: RedisSettings, memory: Memory, *, processes: int) -> None:
        self._settings = settings
        self._memory = memory
        self._processes = processes
        self._name = secrets.token_hex(8)
        self._recovered = 0  # with servers that are no longer there
        self._followed: set[bytes] | None = None  # who else asked those
        self._cluster: Any = None
        self._nodes: dict[str, tuple[Held, Names]] = {}
        self._slots: dict[int, str] = {}  # as of the last look, as are the tags
        self._tags: dict[str, str] = {}
        self._stale = True
        self._following: asyncio.Task[None] | None = None
        self._refreshed = 0.0
        self._refreshing = asyncio.Lock()
        self.one: Held | None = None
        """The only server; None in a Cluster."""
        client = connect(settings)
        if isinstance(client, RedisCluster):
            self._cluster = client
        else:
            self.one = self._hold(client, Names.of(), lambda _key_id: True)

    @property
    def recoveries(self) -> int:
        """Of all servers."""
        held = [self.one] if self.one is not None else [held for held, _ in self._nodes.values()]
        return self._recovered + sum(each.recovery.recovered for each in held)

    async def of(self, key_id: str) -> Held:
        """The server of a caller. Raises RedisAwayError."""
        if self.one is not None:
            return self.one
        await self._refresh()
        return self._node(self._name_of(key_id))

    async def all(self) -> list[Held]:
        """Every server. Raises RedisAwayError."""
        if self.one is not None:
            return [self.one]
        await self._refresh()
        return [self._node(name) for name in self._tags]

    async def close(self) -> None:
        """Stop, and close all connections."""
        if self._following is not None:
            self._following.cancel()
        for held in [self.one, *(held for held, _ in self._nodes.values())]:
            if held is not None:
                await held.close()
        if self._cluster is not None:
            await close(self._cluster)

    def _hold(self, client: Any, names: Names, belongs: Callable[[str], bool]) -> Held:
        server = WindowServer(
            client,
            names,
            timeout=self._settings.timeout_seconds,
            pool_size=self._settings.pool_size,
            moved=self._look_again,
        )
        recovery = Recovery(
            server, lambda: self._memory(belongs), name=self._name, processes=self._processes, peers=self._followed
        )
        return Held(server, recovery)

    def _look_again(self) -> None:
        self._stale = True
        if self._cluster is not None and self._following is None:
            self._following = asyncio.create_task(self._follow(), context=contextvars.Context())
            self._following.add_done_callback(self._has_followed)

    def _has_followed(self, _task: asyncio.Task[None]) -> None:
        self._following = None

    async def _follow(self) -> None:
        """Find the node that took the place of another, though no request asks: other processes wait for this."""
        while self._stale:
            await asyncio.sleep(_REFRESH_SECONDS)
            with contextlib.suppress(RedisAwayError):
                await self._refresh()
        if self._followed is not None:
            for name in self._tags:
                self._node(name).recovery.start()

    def _name_of(self, key_id: str) -> str:
        name = self._slots.get(self._cluster.keyslot(f"{{{key_id}}}"))
        if name is None:
            self._look_again()
            raise RedisAwayError("a slot that no node has")
        return name

    def _node(self, name: str) -> Held:
        known = self._nodes.get(name)
        if known is not None:
            return known[0]
        names = Names.of(self._tags[name])
        host, _, port = name.rpartition(":")
        held = self._hold(node(self._settings, host, int(port)), names, lambda key_id: self._name_of(key_id) == name)
        self._nodes[name] = held, names
        return held

    async def _refresh(self) -> None:
        """Ask which node has which slots, if that is not known or has changed."""
        now = time.monotonic()
        if not self._stale or (self._tags and now - self._refreshed < _REFRESH_SECONDS):
            return
        async with self._refreshing:
            if self._refreshed >= now:
                return
            self._refreshed, self._stale = time.monotonic(), False
            try:
                async with asyncio.timeout(self._settings.timeout_seconds):
                    await self._cluster.initialize()
                    await self._cluster.nodes_manager.initialize()
            except (RedisError, OSError, TimeoutError) as error:
                self._refreshed, self._stale = 0.0, True
                raise RedisAwayError(f"{type(error).__name__}: {error}") from None
            slots = self._cluster.nodes_manager.slots_cache
            self._slots = {slot: str(nodes[0].name) for slot, nodes in slots.items()}
            self._tags = self._tags_of_nodes()
            for name, (held, names) in [*self._nodes.items()]:
                if name not in self._tags or names != Names.of(self._tags[name]):
                    del self._nodes[name]  # another node has its slots, and nobody has agreed upon those there
                    self._followed = (self._followed or set()) | held.recovery.peers
                    self._recovered += held.recovery.recovered
                    await held.close()

    def _tags_of_nodes(self) -> dict[str, str]:
        """For each node the first number that, as a tag, lies in one of its slots: all processes find the same."""
        found: dict[str, str] = {}
        names = len(set(self._slots.values()))
        for number in itertools.count():
            slot = self._cluster.keyslot(f"{{{number}}}")
            if slot in self._slots:
                found.setdefault(self._slots[slot], str(number))
            if len(found) == names:
                break
        return found
