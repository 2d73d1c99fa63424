"""The one-machine stack: the folder that holds its keys, records, logs and caches, locked for one owner at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Self

from gateway.embedded.errors import StackError

# sockaddr_un.sun_path holds 108 bytes with its closing zero (unix(7)).
_LONGEST_SOCKET_PATH = 107


class StateFolder:
    """``.cordon``, made with mode 0700 where it is missing. A context manager that holds its lock.

    Attributes:
        path: Absolute.
        logs: A log file a server.
        secrets: Key material, see ``secrets.py``.
        samples: The generated sample images.
        cache: What can be made again: compiled models.
    """

    def __init__(self, path: Path, *, cache: Path | None = None) -> None:
        """Name the folder; nothing is made yet.

        Args:
            path: The folder.
            cache: Keep the caches elsewhere, as a temporary state does so that its start is fast.
        """
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.secrets = self.path / "secrets"
        self.samples = self.path / "samples"
        self.cache = (cache or self.path / "cache").absolute()
        self._lock: int | None = None
        self._runtime: Path | None = None

    def __enter__(self) -> Self:
        """Make and lock it.

        Raises:
            StackError: Another process holds it, or it cannot be made.
        """
        try:
            for folder in (self.path, self.logs, self.secrets, self.samples, self.cache):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StackError(
                f"The state folder {self.path} cannot be made: {error.strerror}. Name another with --state."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise StackError(
                f"Another Cordon is running on the state folder {self.path}. Stop it, or name another with --state."
            ) from None
        self._lock = lock
        return self

    def __exit__(self, *_: object) -> None:
        if self._runtime is not None:
            shutil.rmtree(self._runtime, ignore_errors=True)
            self._runtime = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def database_url(self) -> str:
        """For ``DATABASE_URL``."""
        return f"sqlite+aiosqlite:///{self.path / 'cordon.db'}"

    @property
    def has_keys(self) -> bool:
        """Whether the first key was issued into this database; known without opening it."""
        return self._keys_note.exists() and (self.path / "cordon.db").exists()

    def note_keys(self) -> None:
        """Remember that there are keys."""
        self._keys_note.touch(mode=0o600)

    @property
    def _keys_note(self) -> Path:
        return self.path / "first-key-issued"

    def secret(self, name: str) -> Path:
        """The file of one secret, see ``secrets.py``."""
        return self.secrets / name.lower()

    def socket(self, name: str) -> Path:
        """Where a unix socket may lie: in the folder, or in a private one of /tmp if that path is too long for one."""
        folder = self.path / "run"
        if len(os.fsencode(folder / name)) > _LONGEST_SOCKET_PATH:
            if self._runtime is None:
                self._runtime = Path(tempfile.mkdtemp(prefix="cordon-"))
            folder = self._runtime
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / name
