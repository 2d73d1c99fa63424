"""The product in one function: what happens to an image between its admission and its answer.

    1 admit ─▶ 2 ingest ─▶ 3 deidentify ─▶ 4 preprocess ─▶ 5 infer ─▶ 6 respond ─▶ 7 record

Step 1 is over before this module is called: a stranger's body is never read (``api/admission.py``). Steps 2 to 4 touch
identifying bytes: they run as one call in a worker process that cannot write a file and is killed when it is overdue
(``isolation.py``). What comes back identifies nobody. ``Pipeline`` owns the deadline.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from gateway.audit.events import Outcome, RequestFinished, RequestStarted
from gateway.deid.engine import DeidEngine
from gateway.errors import BadModelAnswer, DeadlineExceeded, GatewayError, InternalError, ModelUnavailable, Overloaded
from gateway.ingest.decode import decode
from gateway.isolation import WorkerDefect, Workers
from gateway.preprocess.modality import check_modality
from gateway.preprocess.tensor import Tensor, to_tensor
from gateway.respond.prediction import PredictAnswer, respond
from inference_client.errors import InferenceError, InferenceTimeout, InvalidAnswer, ModelNotReady, ServerBusy

if TYPE_CHECKING:
    from gateway.admission.principal import Admission
    from gateway.audit.recorder import Recorder
    from gateway.catalog import ModelCatalog, ModelSpec
    from gateway.deid.image import Pseudonyms
    from gateway.deid.report import DeidReport
    from gateway.ingest.frames import FrameSelection
    from gateway.ingest.upload import MediaType, Upload
    from gateway.settings import DeidSettings, HttpSettings, IngestSettings
    from inference_client.client import InferenceClient

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """One image's way through steps 2 to 4, as it is handed to a worker process."""

    upload: Upload
    frames: FrameSelection
    model: ModelSpec
    tenant: str
    limits: IngestSettings
    deid: DeidSettings


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a worker hands back. Identifies nobody."""

    tensor: Tensor
    media_type: MediaType
    frame_numbers: tuple[int, ...]
    total_frames: int
    pseudonyms: Pseudonyms
    report: DeidReport
    input_digest: str
    warnings: tuple[str, ...]
    seconds: dict[str, float]


@lru_cache(maxsize=4)
def _engine(settings: DeidSettings) -> DeidEngine:
    return DeidEngine.load(settings.policy, settings.key.get_secret_value().encode())


def prepare(work: Work) -> Prepared:
    """Steps 2 to 4, in a worker process: identifying bytes in, a sanitized tensor out."""
    clock = [perf_counter()]
    image = decode(work.upload, work.frames, work.limits)
    warnings = check_modality(image.modality, work.model)
    clock.append(perf_counter())
    sanitized = _engine(work.deid).deidentify(image, tenant=work.tenant)
    clock.append(perf_counter())
    tensor = to_tensor(sanitized, work.model.input)
    clock.append(perf_counter())
    return Prepared(
        tensor=tensor,
        media_type=image.media_type,
        frame_numbers=sanitized.frame_numbers,
        total_frames=sanitized.total_frames,
        pseudonyms=sanitized.pseudonyms,
        report=sanitized.report,
        input_digest=hashlib.sha256(work.upload.data).hexdigest(),
        warnings=warnings,
        seconds={"ingest": clock[1] - clock[0], "deid": clock[2] - clock[1], "preprocess": clock[3] - clock[2]},
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer, and what it cost by step, in seconds."""

    answer: PredictAnswer
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Joins the steps. Stateless: one instance serves all requests of a process."""

    catalog: ModelCatalog
    workers: Workers
    inference: InferenceClient
    recorder: Recorder
    http: HttpSettings
    limits: IngestSettings
    deid: DeidSettings
    model_timeout: float

    async def predict(
        self, admission: Admission, upload: Upload, frames: FrameSelection, model_name: str | None
    ) -> Answered:
        """Classify one image.

        Raises:
            GatewayError: Any of ``errors.py``; it is on record before it is raised. If it cannot be put on record,
                AuditUnavailable is raised in its place: no answer without its audit record, a refusal included.
        """
        story = _Story(admission)
        try:
            async with asyncio.timeout(self.http.deadline_seconds):
                answered = await self._steps(story, upload, frames, model_name)
        except asyncio.CancelledError:
            await asyncio.shield(self.recorder.record(story.finished("failed", 499, "client-gone")))
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: whatever went wrong is recorded, then answered
            problem = _as_gateway_error(error)
            outcome: Outcome = "refused" if problem.status < 500 else "failed"
            await self.recorder.record(story.finished(outcome, problem.status, problem.slug))
            raise problem from (error if problem is not error else None)
        return answered

    async def _steps(self, story: _Story, upload: Upload, frames: FrameSelection, model_name: str | None) -> Answered:
        began = perf_counter()
        admission = story.admission
        model = story.model = self.catalog.resolve(model_name)

        # "Started" becomes durable while the image is decoded: that nothing is inferred without it costs no time.
        started = asyncio.create_task(self.recorder.record(story.started()))
        try:
            work = Work(upload, frames, model, admission.principal.tenant, self.limits, self.deid)
            prepared = story.prepared = await self.workers.run(prepare, work)
        finally:
            await started
        story.seconds |= prepared.seconds

        inferred = perf_counter()
        inference = await self.inference.infer(
            model.name,
            prepared.tensor.array,
            classes=len(model.labels),
            timeout=self.model_timeout,
            request_id=admission.request_id,
            version=model.version,
        )
        story.seconds["infer"] = perf_counter() - inferred

        answer = respond(
            inference.logits,
            model=model,
            model_version=inference.model_version,
            frame_numbers=prepared.frame_numbers,
            total_frames=prepared.total_frames,
            report=prepared.report,
            pseudonyms=prepared.pseudonyms,
            warnings=prepared.warnings,
            request_id=admission.request_id,
            latency_ms=(perf_counter() - began) * 1000,
        )

        recorded = perf_counter()
        await self.recorder.record(story.finished("success", 200, prediction=answer.prediction))
        story.seconds["audit"] = perf_counter() - recorded
        return Answered(answer, story.seconds)


@dataclass(slots=True)
class _Story:
    """What is known of a request so far: what its audit record will say, however it ends."""

    admission: Admission
    model: ModelSpec | None = None
    prepared: Prepared | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def started(self) -> RequestStarted:
        return RequestStarted(**self._who())

    def finished(self, outcome: Outcome, status: int, problem: str = "", prediction: str = "") -> RequestFinished:
        model, prepared = self.model, self.prepared
        return RequestFinished(
            **self._who(),
            outcome=outcome,
            status=status,
            problem=problem,
            prediction=prediction,
            media_type=prepared.media_type.value if prepared else "",
            input_digest=prepared.input_digest if prepared else "",
            tensor_digest=prepared.tensor.digest if prepared else "",
            patient=(prepared.pseudonyms.patient or "") if prepared else "",
            deidentification=prepared.report.as_json() if prepared else {},
            model=model.name if model else "",
            model_version=model.version if model else "",
            model_digest=model.digest if model else "",
            milliseconds={step: round(seconds * 1000) for step, seconds in self.seconds.items()},
        )

    def _who(self) -> dict[str, str]:
        principal = self.admission.principal
        return {
            "request_id": self.admission.request_id,
            "actor": principal.key_id,
            "tenant": principal.tenant,
            "route": self.admission.route,
            "address": self.admission.address,
        }


def _as_gateway_error(error: Exception) -> GatewayError:
    """Each thing that can go wrong, as the one error that the caller is told."""
    match error:
        case GatewayError():
            return error
        case TimeoutError() | InferenceTimeout():
            return DeadlineExceeded("The request's deadline passed before the model answered")
        case ModelNotReady():
            return ModelUnavailable("The model server is not ready")
        case ServerBusy():
            return Overloaded("The model server's queue is full", retry_after=1.0)
        case InvalidAnswer():
            return BadModelAnswer("The model server's answer does not fit the model's metadata")
        case InferenceError():
            return ModelUnavailable("The model server refused the request")
        case WorkerDefect():
            log.error("pipeline.defect", where=str(error))
        case _:
            log.error("pipeline.defect", exc_info=error)
    return InternalError()
