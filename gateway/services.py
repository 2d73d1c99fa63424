"""What runs behind the routes: started in one order, pinged for /readiness, closed in the other.

    start   forbid core dumps ─▶ migrate the database ─▶ audit recorder ─▶ check the models' files ─▶ warm the workers
            ─▶ the start on record
    close   denials and the stop on record ─▶ audit recorder (flushes, signs a checkpoint) ─▶ model server ─▶ Redis
            ─▶ keys ─▶ database

Redis and the model server need not be there at the start: requests get a clear error, or the limiter's failure policy,
until they are. Running requests end before the close is asked for (``draining.py``).
"""

from __future__ import annotations

import asyncio
import io
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Literal

import structlog
from PIL import Image

from gateway import __version__
from gateway.api.parts import Readiness
from gateway.audit.events import SYSTEM, GatewayStarted, GatewayStopped
from gateway.audit.policy_loads import record_policies
from gateway.audit.policy_texts import digest_of
from gateway.audit.reader import AuditReader
from gateway.errors import StoreUnavailable
from gateway.ingest.frames import FrameSelection
from gateway.ingest.upload import MediaType, Upload
from gateway.isolation import guard_own_files
from gateway.migrations import migrate
from gateway.work import Work, prepare

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from gateway.admission.administration import Administration
    from gateway.admission.api_key import ApiKeys
    from gateway.admission.changes import Changes
    from gateway.admission.idempotency import Idempotency
    from gateway.admission.key_store import KeyStore
    from gateway.admission.limiter import Limiter
    from gateway.admission.revocations import RevokedTokens
    from gateway.admission.sessions import Sessions
    from gateway.admission.switches import Switches
    from gateway.admission.token_parts import TokenParts
    from gateway.admission.usage import UsageCounter
    from gateway.admission.usage_store import UsageStore
    from gateway.audit.denials import DenialCounter
    from gateway.audit.failure_modes import FailureModes
    from gateway.audit.policy_texts import PolicyTexts
    from gateway.audit.recorder import Recorder
    from gateway.deid_policies import DeidPolicies
    from gateway.draining import Draining
    from gateway.isolation import Workers
    from gateway.load import Load
    from gateway.models.catalog import ModelCatalog
    from gateway.models.offer import Offer
    from gateway.models.parts import ModelParts
    from gateway.settings import Settings
    from gateway.story import Story
    from gateway.telemetry.history import History
    from gateway.telemetry.meter import Meter
    from gateway.telemetry.sampler import Sampler
    from gateway.telemetry.tracing import Tracer
    from inference_client.client import InferenceClient

log = structlog.get_logger(__name__)

PING_SECONDS = 1.0
READINESS_SECONDS = 1.0  # anyone may ask: the dependencies are asked once in this time, whoever does
CONNECT_SECONDS = 300.0
CLOSE_SECONDS = 10.0  # more than the audit recorder takes to give up


@dataclass(slots=True)
class Services:
    """All that is started and closed. Made in ``gateway/app.py``; one a process."""

    settings: Settings
    engine: AsyncEngine
    recorder: Recorder
    denials: DenialCounter
    meter: Meter
    history: History
    tracer: Tracer | None
    failures: FailureModes
    limiter: Limiter
    changes: Changes
    key_store: KeyStore
    administration: Administration
    api_keys: ApiKeys
    tokens: TokenParts
    revoked_tokens: RevokedTokens
    switches: Switches
    sessions: Sessions
    idempotency: Idempotency
    usage_store: UsageStore
    usage: UsageCounter
    catalog: ModelCatalog
    deid_policies: DeidPolicies
    policy_texts: PolicyTexts
    workers: Workers
    load: Load
    draining: Draining
    inference: InferenceClient
    models: ModelParts
    sampler: Sampler | None = None
    running: bool = False
    _known: tuple[float, Readiness] | None = None
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _connecting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """In order; whatever fails, what was started is closed before the error goes on."""
        guard_own_files()
        try:
            await migrate(self.engine)
            await self.recorder.start()
            self.denials.start()
            self.changes.start()
            self.usage.start()
            checked = await asyncio.to_thread(self.catalog.verify_weights)
            await self._warm()
            await self._say_what_it_works_by()
        except BaseException as error:
            # A ValueError is ours and says what to mend; a library's message may hold a URL with its password.
            log.exception("service.start-failed", reason=str(error) if type(error) is ValueError else "")
            await self.close()
            raise
        self.running = True
        self._connecting = asyncio.create_task(self._connect())
        self.models.keeper.start()
        self.draining.listen()
        if self.sampler is not None:
            self.sampler.start()
        log.info("service.started", models=len(self.catalog), weights_checked=len(checked), workers=self.workers.size)

    async def close(self) -> None:
        """In order; one that fails or hangs does not keep the others from being closed."""
        self.draining.close()
        if self._connecting is not None:
            self._connecting.cancel()
        closers: dict[str, Callable[[], Awaitable[object]]] = {"metrics": self.sampler.close} if self.sampler else {}
        closers |= {
            "denials": self.denials.close,
            "failure-modes": self.failures.close,
            "stop-record": self._record_stop,
            "audit": self.recorder.close,
            "usage": self.usage.close,
            "keeper": self.models.keeper.close,
            "serving": self.models.serving.close,
            "inference": self.inference.close,
            "traces": self._send_traces,
            "limiter": self.limiter.close,
            "idempotency": self.idempotency.close,
            "changes": self.changes.close,
            "sessions": self.sessions.close,
            "keys": self.api_keys.close,
            "issuers": self.tokens.close,
            "database": self.engine.dispose,
        }
        for name, close in closers.items():
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await close()
            except Exception:
                log.exception("service.close-failed", service=name)
        log.info("service.closed")

    async def readiness(self) -> Readiness:
        """Ready is: the keys and the audit log answer, and at least one model does.

        The limiter is needed only if its failure policy is ``closed``. One model's failure does not take the others
        from their callers.
        """
        async with self._asking:
            if self._known is None or monotonic() - self._known[0] > READINESS_SECONDS:
                self._known = monotonic(), await self._ask()
            known = self._known[1]
        return replace(known, ready=False, draining=True) if self.draining.on else known

    async def _connect(self) -> None:
        """Reach for every dependency until all are there, or for some minutes: no caller waits for a first connection.

        In each process: what asks for readiness from outside reaches one of several.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                while not (await self._ask()).ready:  # noqa: ASYNC110 - what it waits for is not in this process
                    await asyncio.sleep(READINESS_SECONDS)

    async def _ask(self) -> Readiness:
        pings = {"keys": self.key_store.ping(), "audit": self.recorder.ping(), "limiter": self.limiter.ping()}
        states = await asyncio.gather(*(_answers(ping) for ping in pings.values()))
        models = list(self.catalog.offers.values())
        loaded = await asyncio.gather(*(self._serves(offer) for offer in models))
        dependencies = dict(zip(pings, states, strict=True))
        needed = {"keys", "audit"} | ({"limiter"} if self.settings.admission.limiter_failure == "closed" else set())
        return Readiness(
            ready=self.running and any(loaded) and all(dependencies[name] for name in needed),
            dependencies={name: _state(good) for name, good in dependencies.items()},
            models={model.name: _state(good) for model, good in zip(models, loaded, strict=True)},
        )

    async def _serves(self, offer: Offer) -> bool:
        """Whether one of the versions that answer does: a canary that is sick takes its model from nobody else."""
        try:
            async with asyncio.timeout(PING_SECONDS):
                served = await self.models.routes.of(offer)
        except (StoreUnavailable, TimeoutError):
            served = self.models.routes.of_late(offer)
        asked = (_is_true(self.inference.ready(offer.name, version)) for version in served.route.serving)
        return any(await asyncio.gather(*asked))

    async def _say_what_it_works_by(self) -> None:
        """Put on record by which policies and models this process works: each record can be held against them."""
        files = self._policy_files()
        read = await asyncio.to_thread(lambda: {name: path.read_bytes() for name, path in files.items()})
        contents = read | {f"deid {name}": content for name, content in self.deid_policies.contents.items()}
        await self.policy_texts.keep(files, contents)
        policies = {name: digest_of(content) for name, content in contents.items()}
        await record_policies(AuditReader(self.engine, self.settings.audit), self.recorder, policies)
        versions = [spec for offer in self.catalog.offers.values() for spec in offer.versions.values()]
        digests = policies | {f"model {spec.name}@{spec.version}": spec.digest for spec in versions}
        started = GatewayStarted("", SYSTEM, "", version=__version__, process=os.getpid(), digests=digests)
        await self.recorder.record(started)

    def _policy_files(self) -> dict[str, Path]:
        files = {
            "access": self.settings.admission.access_policy,
            "plans": self.settings.admission.plans_policy,
            "models": self.settings.models.policy,
        }
        if self.settings.audit.retention_policy.exists():  # it is read by a command alone
            files["retention"] = self.settings.audit.retention_policy
        return files | {f"deid {name}": path for name, path in self.deid_policies.files.items()}

    def told(self, story: Story) -> None:
        """An image or object has gone through the pipeline, however far: for the metrics and the traces."""
        try:
            self.meter.told(story)
            if self.tracer is not None:
                self.tracer.told(story)
        except Exception:  # what is said about a request must not be what fails it
            log.exception("metrics.defect")

    async def _send_traces(self) -> None:
        if self.tracer is not None:
            await asyncio.to_thread(self.tracer.close)

    async def _record_stop(self) -> None:
        if self.running:
            self.running = False
            await self.recorder.record(GatewayStopped("", SYSTEM, "", version=__version__, process=os.getpid()))

    async def _warm(self) -> None:
        """One image through steps 2 to 4 in every worker: imports, tables and the text detector's model are loaded."""
        model = self.catalog.resolve(None)
        upload = Upload(_blank_image(), MediaType.PNG)
        work = Work(upload, FrameSelection(), model, "warm-up", self.settings.ingest, self.settings.deid)
        await self.workers.warm(prepare, work)


def _blank_image() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (64, 64)).save(buffer, "PNG")
    return buffer.getvalue()


async def _answers(ping: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(PING_SECONDS):
            await ping
    except Exception as error:
        log.debug("service.not-ready", exc_info=error)
        return False
    return True


async def _is_true(question: Awaitable[bool]) -> bool:
    try:
        async with asyncio.timeout(PING_SECONDS):
            return await question
    except TimeoutError:
        return False


def _state(good: bool) -> Literal["ok", "unavailable"]:
    return "ok" if good else "unavailable"
