"""The gateway's application without a server and without workers: what its routes say, not what they serve."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

from gateway.app import create_app
from gateway.migrations import migrate
from inference_client.fake import FakeClient
from tests.support.site import MODEL, settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import Any

    from fastapi import FastAPI


@asynccontextmanager
async def door(folder: Path, redis_url: str, **changes: Any) -> AsyncIterator[FastAPI]:
    """The application on a database of its own; ``caller`` talks to it."""
    app = create_app(settings_for(folder, redis_url, **changes), inference=FakeClient({MODEL: 4}))
    services = app.state.services
    await migrate(services.engine)
    await services.recorder.start()
    services.changes.start()
    try:
        yield app
    finally:
        await services.close()


def caller(app: FastAPI, key: str = "", address: str = "127.0.0.1") -> httpx.AsyncClient:
    """With a key, or without."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 40_000))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers)
