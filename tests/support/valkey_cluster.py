"""Real Valkey servers over TCP: a Cluster of three masters, and a master with a replica watched by a Sentinel."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import redis

from gateway.embedded.child import Child
from gateway.embedded.valkey import binary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SLOTS = 16384
WAIT_SECONDS = 20.0


class Node:
    """One server.

    Args:
        folder: For its files.
        port: Where it listens, on 127.0.0.1.
        options: On its command line.
        server: The program; the wheel's Valkey unless said.
        environment: More of it.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *options: str,
        server: str | Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self.url = f"redis://127.0.0.1:{port}"
        self._folder = folder
        self._command = [server or binary(), *options, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._environment = {"PATH": os.defpath, "LC_ALL": "C", **(environment or {})}
        self.start()

    def start(self) -> None:
        """Start it, anew if it was killed; with what it kept on disk."""
        self.child = Child("Valkey", self._command, log=self._folder / "log", environment=self._environment)

    def client(self) -> redis.Redis:
        """A plain client of this server alone."""
        return redis.Redis(port=self.port, decode_responses=True, socket_timeout=2)

    def kill(self) -> None:
        """As a power cut would."""
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.stop(3.0)

    def stop(self) -> None:
        """End it."""
        self.child.stop(3.0)

    def answers(self) -> bool:
        """Whether it does."""
        with self.client() as client:
            return bool(client.ping())


def free_ports(count: int, *, bus: bool = False) -> list[int]:
    """Ports that nobody listens on; with ``bus``, ten thousand above them nobody does either."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe, socket.socket() as above:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            try:
                above.bind(("127.0.0.1", port + 10_000 if bus else 0))
            except (OSError, OverflowError):
                continue
            if port not in found:
                found.append(port)
    return found


def wait_for(what: Callable[[], bool]) -> None:
    """Until it is so; a server that does not answer yet is not so."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            if what():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)


class Cluster:
    """Three masters, each with a third of the slots.

    Args:
        folder: For their files.
        replica: Whether the first of them has one.
    """

    def __init__(self, folder: Path, *, replica: bool = False) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--save", "", "--appendonly", "no")
        self.nodes = [Node(folder / str(port), port, *options) for port in free_ports(3 + replica, bus=True)]
        self._replica = self.nodes.pop() if replica else None
        for node in self.nodes:
            wait_for(node.answers)
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            with node.client() as client:
                begin, end = SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", begin, end)
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port)
        for node in self.nodes:
            wait_for(lambda node=node: self._agrees(node))  # type: ignore[misc]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        if self._replica is not None:
            self._follow(self._replica, first)

    def fail_over(self) -> None:
        """Kill the first master and wait until its replica is one; which has not heard of any window."""
        replica = self._replica
        assert replica is not None
        self.nodes[0].kill()
        with replica.client() as client:
            wait_for(lambda: client.info("replication")["role"] == "master")
            for name in client.scan_iter("rl:*", count=1000):
                client.delete(name)

    @staticmethod
    def _follow(replica: Node, master: Node) -> None:
        wait_for(replica.answers)
        with replica.client() as client, master.client() as other:
            name = other.execute_command("CLUSTER", "MYID")
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", master.port)
            wait_for(lambda: client.execute_command("CLUSTER", "REPLICATE", name) in (True, "OK"))
            wait_for(lambda: client.info("replication").get("master_link_status") == "up")
            wait_for(lambda: other.info("replication")["connected_slaves"] == 1)

    def _agrees(self, node: Node) -> bool:
        with node.client() as client:
            info = str(client.execute_command("CLUSTER", "INFO"))
        return "cluster_state:ok" in info and f"cluster_known_nodes:{len(self.nodes)}" in info

    def stop(self) -> None:
        """End all."""
        for node in (*self.nodes, self._replica):
            if node is not None:
                node.stop()


class Watched:
    """A master, its replica, and a Sentinel that calls the replica master when the master is gone."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        main, copy, watch = free_ports(3)
        plain = ("--save", "", "--appendonly", "no")
        self.master = Node(folder / "master", main, *plain)
        wait_for(self.master.answers)
        self.replica = Node(folder / "replica", copy, *plain, "--replicaof", "127.0.0.1", str(main))
        wait_for(self.replica.answers)
        wait_for(lambda: self._info(self.replica)["master_link_status"] == "up")
        configuration = folder / "sentinel.conf"
        configuration.write_text(
            f"sentinel monitor gateway 127.0.0.1 {main} 1\n"
            "sentinel down-after-milliseconds gateway 500\n"
            "sentinel failover-timeout gateway 2000\n"
        )
        self.sentinel = Node(folder / "sentinel", watch, str(configuration), "--sentinel")
        wait_for(self.sentinel.answers)
        wait_for(lambda: self._replicas_seen() == 1)
        self.url = f"redis+sentinel://127.0.0.1:{watch}/gateway"

    def fail_over(self, *, heard: bool = True) -> None:
        """Kill the master and wait until the replica is one, and Sentinel says so.

        Args:
            heard: Otherwise it has not heard of any window: copying is asynchronous.
        """
        self.master.kill()
        if not heard:
            with self.replica.client() as client:
                client.config_set("replica-read-only", "no")
                client.delete("nothing", *client.scan_iter("rl:*", count=1000))
        wait_for(lambda: self._info(self.replica)["role"] == "master" and self._master_port() == self.replica.port)

    def _master_port(self) -> int:
        with self.sentinel.client() as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "gateway")[1])

    def _replicas_seen(self) -> int:
        with self.sentinel.client() as client:
            return len(client.execute_command("SENTINEL", "REPLICAS", "gateway"))

    def _info(self, node: Node) -> dict[str, str]:
        with node.client() as client:
            found: dict[str, str] = client.info("replication")
        return found

    def stop(self) -> None:
        """End all."""
        for node in (self.sentinel, self.replica, self.master):
            node.stop()
