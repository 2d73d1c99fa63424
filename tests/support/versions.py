"""A real Triton with a tiny model of three versions, and workers that serve it from one database."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.admission.changes import Changes
from gateway.database import create_engine
from gateway.embedded.triton import Triton
from gateway.embedded.triton_environment import TritonEnvironment
from gateway.migrations import migrate
from gateway.models.catalog import ModelCatalog
from gateway.models.parts import ModelParts
from gateway.models.serving import Call
from gateway.preprocess.tensor import Tensor
from inference_client.resilience import ResilientClient
from inference_client.triton import TritonClient
from tests.support.site import settings_for
from tests.support.stack import TRITON_ENVIRONMENT, require_triton

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.settings import Settings

REPOSITORY = Path(__file__).parent / "versioned_models"
POLICY = REPOSITORY / "models.yaml"
MODEL = "tiny"
SAYS = {"1": "one", "2": "two"}


@contextmanager
def running_versions(folder: Path, repository: Path = REPOSITORY) -> Iterator[Triton]:
    """Versions 1 and 2 are loaded; 3 is not."""
    require_triton()
    triton = Triton(
        TritonEnvironment.find(TRITON_ENVIRONMENT),
        repository,
        folder=folder / "triton",
        cache=folder / "cache",
        log=folder / "triton.log",
        control="explicit",
    )
    try:
        triton.wait_ready(60)
        yield triton
    finally:
        triton.stop()


@dataclass
class Recorded:
    """Stands for the audit log: what was recorded."""

    events: list[Any] = field(default_factory=list)

    async def record(self, event: Any) -> None:
        """Keep it."""
        self.events.append(event)


@dataclass
class Worker:
    """What one gateway process has of step 5."""

    parts: ModelParts
    changes: Changes
    recorded: Recorded
    copies: list[tuple[str, str, str]]
    client: ResilientClient

    async def said(self, patient: str, *, pinned: str = "", level: int = 0, tenant: str = "st-mary") -> str:
        """The version that answered this patient, by its word and by its number, which must agree."""
        spec = await self.parts.serving.choose(MODEL, patient, pinned)
        inference, _ = await self.parts.serving.infer(spec, call(level, tenant, patient))
        assert inference.model_version == spec.version
        assert SAYS[spec.version] == spec.labels[int(inference.output[0].argmax())]
        return spec.version


def call(level: int = 0, tenant: str = "st-mary", request_id: str = "r", seconds: float = 5.0) -> Call:
    """A request with a picture of one grey level."""
    array = np.full((1, 16, 16, 3), level, np.uint8)
    return Call(Tensor(array, hashlib.sha256(array).hexdigest()), tenant, request_id, seconds)


def settings_of(folder: Path, redis_url: str, triton: Triton, **models: Any) -> Settings:
    """Of a worker in front of that Triton."""
    settings = settings_for(folder, redis_url)
    return settings.model_copy(
        update={
            "triton": settings.triton.model_copy(update={"url": triton.url}),
            "models": settings.models.model_copy(update={"policy": POLICY, "repository": REPOSITORY} | models),
        }
    )


@asynccontextmanager
async def workers(settings: Settings, count: int = 1) -> AsyncIterator[list[Worker]]:
    """So many workers on one database, each with connections and memory of its own."""
    engines, made = [], []
    try:
        for _ in range(count):
            engine = create_engine(settings.database)
            engines.append(engine)
            await migrate(engine)
            changes, recorded, copies = Changes(settings.redis), Recorded(), []
            client = ResilientClient(TritonClient(settings.triton.url), failures=5, seconds=2.0, images=1024)
            catalog = ModelCatalog.load(settings.models.policy, settings.models.repository)

            def copied(*what: str, copies: list[tuple[str, str, str]] = copies) -> None:
                copies.append(what)  # type: ignore[arg-type]

            parts = ModelParts.of(settings, catalog, engine, changes, recorded, client, copied)
            changes.start()
            made.append(Worker(parts, changes, recorded, copies, client))
        yield made
    finally:
        for worker in made:
            await worker.parts.serving.close()
            await worker.client.close()
            await worker.changes.close()
        for engine in engines:
            await engine.dispose()
