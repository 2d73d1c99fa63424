"""The gateway's own process on the run's real servers, and a caller with a key."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import psutil

from gateway.admission.key_record import NewKey
from gateway.admission.key_store import KeyStore
from gateway.admission.keys import KeyMaker
from gateway.cli.serve import listen, url_of
from gateway.database import create_engine
from gateway.embedded.child import Child
from gateway.embedded.secrets import NAMES
from gateway.migrations import migrate
from gateway.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from gateway.embedded.stack import Stack

ALL_SCOPES = frozenset({"predict", "deidentify", "keys:read", "keys:write", "audit:read", "docs:read"})


@dataclass(frozen=True)
class RunningGateway:
    """A gateway that answers at ``url``, and tells its metrics at ``metrics_url``."""

    url: str
    metrics_url: str
    key: str
    child: Child
    folder: Path
    variables: Mapping[str, str]

    @property
    def log(self) -> bytes:
        """All that it has logged."""
        return (self.folder / "gateway.log").read_bytes()

    def client(self, **options: object) -> httpx.Client:
        """A caller with the key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, **options)  # type: ignore[arg-type]

    def processes(self) -> list[psutil.Process]:
        """The gateway and everything below it."""
        top = psutil.Process(self.child.pid)
        return [top, *top.children(recursive=True)]


async def _issue(settings: Settings) -> str:
    engine = create_engine(settings.database)
    try:
        await migrate(engine)
        store = KeyStore(engine, KeyMaker(settings.admission.key_pepper.get_secret_value().encode()))
        new = NewKey(owner="tests", tenant="tests", scopes=ALL_SCOPES, plan="unlimited-internal")
        _, issued = await store.issue(new)
        return issued.text
    finally:
        await engine.dispose()


@contextmanager
def running_gateway(
    stack: Stack, folder: Path, *, prefix: Sequence[str] = (), **overrides: str
) -> Iterator[RunningGateway]:
    """Start ``cordon serve`` with a database of its own in ``folder``.

    Args:
        stack: The run's Triton and Valkey.
        folder: For the database and the log.
        prefix: A command to run it under (``strace``).
        overrides: Settings, by their environment names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    variables = stack.variables() | {
        "DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'cordon.db'}",
        "AUDIT_CHECKPOINT_FILE": str(folder / "checkpoints.log"),
        **overrides,
    }
    environment = {name: value for name, value in os.environ.items() if name not in NAMES} | variables
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        key = asyncio.run(_issue(Settings()))
    finally:
        os.environ.clear()
        os.environ.update(before)

    listener, metrics = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
    options = ["--fd", str(listener.fileno()), "--metrics-fd", str(metrics.fileno())]
    command = [*prefix, sys.executable, "-m", "gateway.cli", "serve", *options]
    child = Child(
        "The gateway",
        command,
        log=folder / "gateway.log",
        environment=environment,
        pass_fds=(listener.fileno(), metrics.fileno()),
    )
    url, metrics_url = url_of(listener), f"{url_of(metrics)}/metrics"
    try:
        child.wait_ready(lambda: _ready(url), 60)
        listener.close()  # the gateway's alone: when it stops listening, callers are refused
        yield RunningGateway(url, metrics_url, key, child, folder, variables)
    finally:
        child.stop(20)
        listener.close()
        metrics.close()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readiness", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
