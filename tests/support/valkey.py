"""The one-machine stack's Valkey on a unix socket, to be stopped, killed and started again by tests."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Self

import redis

from gateway.embedded.valkey import Valkey

if TYPE_CHECKING:
    from pathlib import Path


class ValkeyServer:
    """One ``valkey-server`` that keeps nothing on disk.

    Args:
        folder: Holds its socket; short enough for a socket's path (107 bytes).
    """

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self._log = folder / "valkey.log"
        self._running: Valkey | None = None

    def start(self) -> Self:
        """Start it and wait until it answers."""
        self._running = Valkey(self.socket, self._log)
        self._running.wait_ready()
        return self

    def client(self, *, text: bool = True) -> redis.Redis:
        """A plain client, to look at what is stored."""
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=text)

    def clear(self) -> None:
        """Delete what tests have left there, but not what limiters have agreed upon: nothing is lost, for them."""
        with self.client() as client:
            client.script_flush()
            if names := [name for name in client.scan_iter(count=1000) if not name.startswith("limiter:")]:
                client.delete(*names)

    def kill(self) -> None:
        """End it as a power cut would: everything in it is lost."""
        assert self._running is not None
        os.kill(self._running.child.pid, signal.SIGKILL)
        self._running.stop()

    def hang(self) -> None:
        """Stop it where it stands; what is sent to it waits in its sockets."""
        assert self._running is not None
        os.kill(self._running.child.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let one that hangs read what was sent meanwhile."""
        assert self._running is not None
        os.kill(self._running.child.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it if it runs."""
        if self._running is not None:
            self._running.stop()
