"""Step 7 of 7: signs a checkpoint every N records or T seconds, and puts it in two places and in the log.

What is signed is the head that this process itself wrote, not what the table says its end is: a cut made before the
checkpoint is found too.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from gateway.audit.chain import EMPTY, Head
from gateway.audit.checkpoints import Checkpoint, Signer, checkpoint
from gateway.audit.store import patience
from gateway.audit.tables import audit_checkpoints

if TYPE_CHECKING:
    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

    from gateway.settings import AuditSettings

log = structlog.get_logger(__name__)

_LAST_TRY_SECONDS = 5.0


class Sealer:
    """One task that signs while others write.

    Args:
        engine: Of ``gateway.database``; whoever made it closes it.
        settings: When, with which key, and where to.
    """

    def __init__(self, engine: AsyncEngine, settings: AuditSettings) -> None:
        self._engine = engine
        self._signer = Signer.of(settings)
        self._file = checkpoint_path(engine.url, settings)
        self._every = settings.checkpoint_every
        self._seconds = settings.checkpoint_seconds
        self._patience = patience(engine, settings.timeout_seconds)
        self._due: dict[int, Checkpoint] = {}
        self._open = False
        self._head = EMPTY
        self._sealed = 0
        self._sealed_at = 0.0
        self._unsealed_since: float | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._open = True
        self._task = asyncio.create_task(self._run(), name="audit-sealer")

    @property
    def sealed(self) -> tuple[float, float]:
        """When a checkpoint was last put down, Unix time; and for how many seconds the oldest record waits for one."""
        since = self._unsealed_since
        return self._sealed_at, 0.0 if since is None else monotonic() - since

    def note(self, head: Head) -> None:
        """The log now ends with this record, which this process wrote."""
        self._head = head
        if self._unsealed_since is None:
            self._unsealed_since = monotonic()
        if head.seq - self._sealed >= self._every:
            self._wake.set()

    def keep(self, head: Head) -> None:
        """Sign this one whatever comes after it: it was written, and is gone."""
        self._sign(head)
        self._wake.set()

    async def close(self) -> None:
        """Sign the last head, if it is not yet; stop."""
        self._open = False
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_LAST_TRY_SECONDS)
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        while self._open:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._wake.wait()
            self._wake.clear()
            await self._seal()
        await self._seal()  # what was noted during the last one

    def _sign(self, head: Head) -> None:
        # Once: if it has to be put down again, it is the same to the letter in both places.
        if head.seq not in self._due:
            self._due[head.seq] = checkpoint(self._signer, head, datetime.now(UTC))

    async def _seal(self) -> None:
        began = monotonic()
        if self._head.seq != self._sealed:
            self._sign(self._head)
        for due in list(self._due.values()):
            try:
                async with asyncio.timeout(self._patience):
                    await self._put(due)
            except Exception as error:  # noqa: BLE001 - it stays due; the records themselves are safe
                failed = type(error).__name__  # its text may hold a path or the database's URL
            else:
                del self._due[due.size]
                self._sealed = due.size
                self._sealed_at = time()
                self._unsealed_since = None if self._head.seq == due.size else began
                continue
            log.error("audit.checkpoint_failed", size=due.size, error=failed)
            return

    async def _put(self, due: Checkpoint) -> None:
        with suppress(IntegrityError):  # one of this size is there: of a tail that was cut and grew again
            async with self._engine.begin() as connection:
                await connection.execute(insert(audit_checkpoints).values(asdict(due)))
        if self._file is not None:
            await asyncio.to_thread(append_line, self._file, due.line())
        log.info("audit.checkpoint", **asdict(due))


def checkpoint_path(url: URL, settings: AuditSettings) -> Path | None:
    """The file of the checkpoints: the one that is set, or else one beside a SQLite file."""
    if settings.checkpoint_file:
        return Path(settings.checkpoint_file)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        return Path(url.database + ".checkpoints")
    return None


def append_line(path: Path, line: bytes) -> None:
    """Add a line, durably; processes may do so at the same time. The file is its owner's alone.

    A line that a full disk cut short stays: evidence is only ever added to. The next one begins on a line of its own.

    Raises:
        OSError: It cannot be written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # until it is closed
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        if os.write(descriptor, line) != len(line):
            raise OSError("the line was cut short")
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
