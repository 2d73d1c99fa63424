"""The whole gateway on a real socket, in a thread of the test's process, with a model server that can be broken."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import uvicorn

from gateway.admission.access import AccessPolicy
from gateway.admission.key_record import NewKey
from gateway.api.small_reads import SmallReads
from gateway.app import create_app
from gateway.settings import (
    AdmissionSettings,
    AuditSettings,
    DatabaseSettings,
    DeidSettings,
    HttpSettings,
    IngestSettings,
    OAuthSettings,
    RedisSettings,
    Settings,
    TritonSettings,
)
from gateway.telemetry.logging import configure_logging
from inference_client.fake import FakeClient

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from fastapi import FastAPI

MODEL = "brain_mri_resnet50"
MAX_BODY = 2**20
URL = "https://cordon.example"
SHIPPED = Path(__file__).resolve().parents[2] / "policies" / "access.yaml"
ALL_SCOPES = tuple(scope for scope in AccessPolicy.load(SHIPPED).scopes if not scope.startswith("deidentify:"))


def settings_for(folder: Path, redis_url: str, **changes: Any) -> Settings:
    """Small limits, so that a test reaches them; secrets that protect nothing."""
    parts: dict[str, Any] = {
        "environment": "development",
        "http": HttpSettings(
            docs=True, max_body_bytes=MAX_BODY, max_inflight_bytes=4 * 2**20, body_timeout_seconds=1.0,
            deadline_seconds=20.0,
        ),
        "redis": RedisSettings(url=redis_url, timeout_seconds=1.0),
        "database": DatabaseSettings(url=f"sqlite+aiosqlite:///{folder / 'cordon.db'}"),
        "triton": TritonSettings(url="127.0.0.1:1", timeout_seconds=1.0),
        "admission": AdmissionSettings(key_pepper="p" * 32),
        "oauth": OAuthSettings(issuer=URL, signing_key="t" * 32),
        "ingest": IngestSettings(worker_processes=1, worker_seconds=20.0),
        "deid": DeidSettings(key="d" * 32),
        "audit": AuditSettings(chain_key="c" * 32, timeout_seconds=1.0),
    }  # fmt: skip
    return Settings(**(parts | changes))


class Site:
    """Start with ``start``, end with ``stop``."""

    def __init__(self, settings: Settings, app: FastAPI | None = None) -> None:
        self.settings = settings
        self.model = FakeClient({MODEL: 4})
        self.log = io.StringIO()
        self.app = app or create_app(settings, inference=self.model)
        self.listen()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.port = 0
        self._addresses = itertools.cycle(range(1, 255))

    def start(self) -> Self:
        """Serve as ``cordon serve`` does; returns once requests are answered."""
        config = uvicorn.Config(
            self.app, port=0, http=SmallReads, ws="none", lifespan="on", log_config=None, access_log=False,
            server_header=False, proxy_headers=False, reset_contextvars=True, timeout_graceful_shutdown=2,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 60
        while not self._server.started:
            assert self._thread.is_alive(), self.log.getvalue()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    async def _serve(self) -> None:
        assert self._server is not None
        self._loop = asyncio.get_running_loop()
        await self._server.serve()

    def stop(self) -> None:
        """As SIGTERM would."""
        assert self._server is not None
        assert self._thread is not None
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    def listen(self) -> None:
        """Take the process's log, which another application may have taken since."""
        configure_logging(self.settings.log, self.log)

    def run(self, work: Coroutine[None, None, Any]) -> Any:
        """Run something on the gateway's own loop."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def key(self, *scopes: str, plan: str = "unlimited-internal", tenant: str = "st-mary") -> str:
        """A new key; with all scopes if none is named."""
        new = NewKey(owner="tests", tenant=tenant, scopes=frozenset(scopes or ALL_SCOPES), plan=plan)
        _, issued = self.run(self.app.state.parts.keys.issue(new))
        return str(issued.text)

    def client(self, key: str | None = None) -> httpx.Client:
        """A caller, with a key or without, from an address of its own: failures are bounded by address."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        transport = httpx.HTTPTransport(local_address=f"127.0.1.{next(self._addresses)}")
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=30, transport=transport)

    def lines_of(self, answer: httpx.Response) -> list[dict[str, Any]]:
        """The log lines of one request. Its last one is written when the answer is out: it is waited for."""
        request_id, end = answer.headers["x-request-id"], time.monotonic() + 10
        while True:
            lines = [line for line in self.lines() if line.get("request_id") == request_id]
            if any(line["event"] == "http.answered" for line in lines) or time.monotonic() > end:
                return lines
            time.sleep(0.01)

    def lines(self) -> Iterator[dict[str, Any]]:
        """The log so far, line by line."""
        for line in self.log.getvalue().splitlines():
            yield json.loads(line)
