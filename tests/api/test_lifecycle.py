"""Started, drained and closed in order; a start that cannot be is refused with its reason."""

from __future__ import annotations

import asyncio
import io
import resource
import shutil
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from gateway.admission.limiter import Limiter
from gateway.app import create_app
from gateway.settings import AdmissionSettings, ModelSettings, RedisSettings
from gateway.telemetry.logging import configure_logging
from inference_client.fake import FakeClient
from tests.support.problems import assert_problem
from tests.support.site import MODEL, Site, settings_for

if TYPE_CHECKING:
    from pathlib import Path


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (64, 64), 99).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_life(valkey_server, tmp_path):
    site = Site(settings_for(tmp_path, valkey_server.url)).start()
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
    readiness_is_as_the_policy_says(site, tmp_path)
    site.model.delay = 0.6
    answers = []
    with site.client(site.key()) as client:
        client.get("/v1/models")
        sending = threading.Thread(
            target=lambda: answers.append(
                client.post("/v1/predict", content=png(), headers={"Content-Type": "image/png"})
            )
        )
        sending.start()
        time.sleep(0.3)
        site.stop()  # the request that is running gets its answer
        sending.join(10)
    assert [answer.status_code for answer in answers] == [200]

    types = asyncio.run(_types(tmp_path))
    assert types[:2] == ["policy.loaded", "gateway.started"]
    assert types[-1] == "gateway.stopped"
    assert types[-3:-1] == ["request.started", "request.finished"]
    events = [line["event"] for line in site.lines()]
    assert events.index("service.started") < events.index("http.answered") < events.index("service.closed")
    assert "service.close-failed" not in events


def readiness_is_as_the_policy_says(site, folder):
    """Redis that is away matters only if the limiter's failure policy is ``closed``."""
    limiter = Limiter(RedisSettings(url=f"unix://{folder}/none.sock"), site.app.state.parts.plans)
    for failure, ready in (("local", True), ("closed", False)):
        admission = AdmissionSettings(key_pepper="p" * 32, limiter_failure=failure)
        settings = settings_for(folder, "", admission=admission)
        services = replace(site.app.state.services, limiter=limiter, settings=settings)
        readiness = site.run(services.readiness())
        assert readiness.ready is ready
        assert readiness.dependencies == {"keys": "ok", "audit": "ok", "limiter": "unavailable"}
    site.run(limiter.close())


async def _types(folder: Path) -> list[str]:
    from gateway.audit.reader import AuditReader
    from gateway.audit.search import Filters
    from gateway.database import create_engine

    settings = settings_for(folder, "unix:///none")
    engine = create_engine(settings.database)
    try:
        return [record.fields["type"] async for record in AuditReader(engine, settings.audit).walk(Filters())]
    finally:
        await engine.dispose()


async def started(settings):
    """The application with its services started; the log is what it wrote."""
    log = io.StringIO()
    app = create_app(settings, inference=FakeClient({MODEL: 4}))
    configure_logging(settings.log, log)
    return app, log


async def test_weights_that_are_not_those_of_the_manifest_stop_the_start(valkey_server, tmp_path):
    repository = tmp_path / "model_repository"
    shipped = settings_for(tmp_path, valkey_server.url).models.repository
    shutil.copytree(shipped, repository)
    [weights] = list(repository.rglob("*.onnx"))[:1]
    weights.write_bytes(b"not a model")
    settings = settings_for(tmp_path, valkey_server.url, models=ModelSettings(repository=repository))
    app, log = await started(settings)
    with pytest.raises(ValueError, match=weights.name):
        async with app.router.lifespan_context(app):
            pass
    assert "service.start-failed" in log.getvalue()
    assert weights.name in log.getvalue()


async def test_a_database_that_cannot_be_opened_stops_the_start_without_its_address(valkey_server, tmp_path):
    from gateway.settings import DatabaseSettings

    place = tmp_path / "ZqxjKw"
    place.write_text("a file, not a folder")
    settings = settings_for(
        tmp_path, valkey_server.url, database=DatabaseSettings(url=f"sqlite+aiosqlite:///{place}/x.db")
    )
    app, log = await started(settings)
    with pytest.raises(OSError, match="exists"):
        async with app.router.lifespan_context(app):
            pass
    assert "service.start-failed" in log.getvalue()
    assert "ZqxjKw" not in log.getvalue()


def test_a_policy_with_a_mistake_stops_the_start(valkey_server, tmp_path):
    wrong = tmp_path / "access.yaml"
    wrong.write_text("routes: []")
    settings = settings_for(
        tmp_path, valkey_server.url, admission=AdmissionSettings(key_pepper="p" * 32, access_policy=wrong)
    )
    with pytest.raises(ValueError, match=r"access\.yaml"):
        create_app(settings, inference=FakeClient({MODEL: 4}))


async def test_before_the_start_nothing_is_ready(valkey_server, tmp_path):
    import httpx

    app, _ = await started(settings_for(tmp_path, valkey_server.url))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        unready = assert_problem(await client.get("/readiness"), 503)
        assert (await client.get("/health")).status_code == 200
    assert set(unready["dependencies"]) == {"keys", "audit", "limiter"}
    await app.state.services.close()
