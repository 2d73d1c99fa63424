"""Another process that says something on the channel of changes; and channels in this one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import SecretStr

from gateway.admission.changes import Changes
from gateway.settings import RedisSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_PROGRAM = """
import asyncio, sys, time
from gateway.admission.changes import Changes
from gateway.settings import RedisSettings

async def say():
    changes = Changes(RedisSettings(url=sys.argv[1], timeout_seconds=2.0))
    await changes._redis.ping()  # connected: what is measured is the message
    print("ready", flush=True)
    for line in sys.stdin:
        topic, _, name = line.strip().partition(" ")
        said = time.monotonic()
        changes.tell(topic, name)
        await asyncio.wait(changes._sending)
        print(said, flush=True)
    await changes.close()

asyncio.run(say())
"""


class OtherProcess:
    """Says what it is told to."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-c", _PROGRAM, url]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._read() == "ready"

    def say(self, words: str) -> float:
        """Say it; when, on the monotonic clock that all processes of a machine share."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{words}\n")
        self._process.stdin.flush()
        return float(self._read())

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def channel(url: str) -> Changes:
    """One that is patient: the machine may be busy."""
    return Changes(RedisSettings(url=SecretStr(url), timeout_seconds=2.0))


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Changes]:
    """One that listens by now."""
    changes = channel(url)
    changes.start()
    try:
        await changes.listening.wait()
        yield changes
    finally:
        await changes.close()


async def until(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)
