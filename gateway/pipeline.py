"""The product in one module: what happens to an image between its admission and its answer.

    predict       1 admit ─▶ 2 ingest ─▶ 3 deidentify ─▶ 4 preprocess ─▶ 5 infer ─▶ 6 respond ─▶ 7 record
    deidentify    1 admit ─▶ 2 ingest ─▶ 3 deidentify ─────────────────────────────▶ 6 respond ─▶ 7 record

Step 1 is over before this module is called: a stranger's body is never read (``api/admission.py``). Steps 2 and 3
touch identifying bytes: they run, with 4 or 6, as one call (``work.py``) in a worker process that cannot write a file
and is killed when it is overdue (``isolation.py``). What comes back identifies nobody. ``Pipeline`` owns the deadline
(``deadline.py``), begins nothing that would be too late (``load.py``), and owns the record.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from gateway.load import GRACE
from gateway.models.serving import Call
from gateway.respond.answer import respond
from gateway.respond.parts import Asked
from gateway.story import Story, as_gateway_error
from gateway.work import ObjectWork, Sanitized, Work, deidentify, prepare
from inference_client.errors import InferenceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.admission.principal import Admission
    from gateway.audit.events import Outcome
    from gateway.audit.recorder import Recorder
    from gateway.deadline import Deadline
    from gateway.draining import Draining
    from gateway.ingest.frames import FrameSelection
    from gateway.ingest.upload import Upload
    from gateway.isolation import Workers
    from gateway.load import Load
    from gateway.models.catalog import ModelCatalog
    from gateway.models.serving import Serving
    from gateway.models.spec import ModelSpec
    from gateway.respond.deidentified import ObjectAnswer
    from gateway.respond.detection import DetectionAnswer
    from gateway.respond.prediction import ClassificationAnswer
    from gateway.respond.preview import Seen
    from gateway.settings import DeidSettings, HttpSettings, IngestSettings
    from inference_client.client import InferenceClient

Answer = TypeVar("Answer")
Given = TypeVar("Given")
Made = TypeVar("Made", bound=Sanitized)


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer, what it cost by step, in seconds, and pictures of what was asked about, if they were wanted."""

    answer: ClassificationAnswer | DetectionAnswer
    seconds: dict[str, float] = field(default_factory=dict)
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenBack:
    """The object as it is given back, how many frames were looked at, and what it cost by step, in seconds."""

    answer: ObjectAnswer
    frames: int
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Joins the steps. Stateless: one instance serves all requests of a process.

    ``observe`` is told of each request when its steps have ended, however they did. It must neither block nor raise.
    """

    catalog: ModelCatalog
    workers: Workers
    inference: InferenceClient
    serving: Serving
    recorder: Recorder
    http: HttpSettings
    limits: IngestSettings
    deid: DeidSettings
    model_timeout: float
    load: Load
    draining: Draining
    observe: Callable[[Story], None] = lambda _story: None

    async def expect(self, admission: Admission, model: ModelSpec) -> None:
        """Before the body is read: whether it is of use to read it.

        Raises:
            Overloaded, ModelUnavailable, DeadlineExceeded: There would be no answer in time.
        """
        self.load.expect("prediction", admission.principal.tenant, admission.deadline, model=model.name)
        try:
            await self.inference.expect(model.name, model.version, seconds=admission.deadline.left)
        except InferenceError as error:
            raise as_gateway_error(error) from None

    async def predict(
        self,
        admission: Admission,
        upload: Upload,
        frames: FrameSelection,
        model_name: str | None,
        version: str = "",
        *,
        look: bool = False,
    ) -> Answered:
        """Classify one image.

        Args:
            admission: Who asks.
            upload: The image.
            frames: Which of its frames.
            model_name: The model; None for the default one.
            version: The version that must answer; empty lets the model's shares decide.
            look: Whether pictures of what is left of it are wanted, too.

        Raises:
            GatewayError: Any of ``errors.py``; it is on record before it is raised. If it cannot be put on record,
                AuditUnavailable is raised in its place: no answer without its audit record, a refusal included.
        """
        story = Story(admission)
        deadline = admission.deadline.or_after(admission.plan_seconds, self.http.deadline_seconds)
        tenant = admission.principal.tenant
        with self.load.inside("prediction", tenant) as worked:
            steps = self._predict(story, upload, frames, model_name, version, deadline, look=look)
            answered = await self._to_its_end(story, steps, deadline)
            worked(sum(story.seconds.values()))
        return answered

    async def _predict(  # noqa: PLR0917 - each is another kind of thing
        self,
        story: Story,
        upload: Upload,
        frames: FrameSelection,
        model_name: str | None,
        version: str,
        deadline: Deadline,
        *,
        look: bool,
    ) -> Answered:
        began = perf_counter()
        admission = story.admission
        tenant = admission.principal.tenant
        model = story.model = await self.serving.expected(model_name, version)
        self.load.expect("prediction", tenant, deadline, model=model.name, grace=GRACE)

        work = Work(upload, frames, model, tenant, self.limits, self.deid, deadline, look)
        with self.load.coming(model.name):
            prepared = await self._sanitized(story, prepare, work)
        story.tensor_digest = prepared.tensor.digest
        story.images = len(prepared.tensor.array)

        inferred = perf_counter()
        patient = prepared.pseudonyms.patient or prepared.tensor.digest
        model = story.model = await self.serving.choose(model.name, patient, version)
        call = Call(prepared.tensor, tenant, admission.request_id, min(self.model_timeout, deadline.check()))
        with self.load.asking(model.name, story.images):
            inference, story.cached = await self.serving.infer(model, call)
        story.took({"infer": perf_counter() - inferred})

        asked = Asked(
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
        parts = inference.output, prepared.tensor.placements, asked
        # A detector's output is 2.8 MB a frame: sorting it out must not hold the others' requests up.
        answer = await asyncio.to_thread(respond, *parts) if model.task == "detection" else respond(*parts)
        await self._succeeded(story, prediction=answer.prediction)
        return Answered(answer, story.seconds, prepared.seen)

    async def deidentify(
        self,
        admission: Admission,
        upload: Upload,
        policy: DeidSettings,
        *,
        multipart: bool,
        make_room: Callable[[int], None],
    ) -> GivenBack:
        """De-identify one object, whole. No model is asked.

        Args:
            admission: Who asks.
            upload: The object.
            policy: Of the policies on offer, one that the caller may use.
            multipart: Whether the report is wanted as a part of the body.
            make_room: Sets memory aside for an answer of so many bytes, or raises Overloaded.

        Raises:
            GatewayError: As ``predict``.
        """
        story = Story(admission)
        limits = self.limits.model_copy(update={"max_frames": self.limits.max_object_frames})
        tenant, largest = admission.principal.tenant, self.http.max_answer_bytes
        deadline = admission.deadline.or_after(admission.plan_seconds, self.http.object_deadline_seconds)
        work = ObjectWork(upload, tenant, limits, policy, multipart, largest, deadline)
        with self.load.inside("object", tenant) as worked:
            given = await self._to_its_end(story, self._deidentify(story, work, make_room), deadline)
            worked(sum(story.seconds.values()))
        return given

    async def _deidentify(self, story: Story, work: ObjectWork, make_room: Callable[[int], None]) -> GivenBack:
        self.load.expect("object", work.tenant, work.deadline, grace=GRACE)
        done = await self._sanitized(story, deidentify, work, self.limits.object_seconds)
        make_room(done.answer.size)
        story.output_digest = done.answer.digest
        await self._succeeded(story)
        return GivenBack(done.answer, done.report.frames_looked_at, story.seconds)

    async def _sanitized(
        self, story: Story, function: Callable[[Given], Made], given: Given, seconds: float | None = None
    ) -> Made:
        """What a worker makes of it.

        "Started" becomes durable meanwhile: that nothing goes further without it costs no time.
        """
        started = self.recorder.begin(story.started())
        asked = perf_counter()
        try:
            made = story.sanitized = await self.workers.run(function, given, seconds=seconds)
            story.waited = perf_counter() - asked - sum(made.seconds.values())
        finally:
            await started
        story.took(made.seconds)
        return made

    async def _succeeded(self, story: Story, *, prediction: str = "") -> None:
        recorded = perf_counter()
        await self.recorder.record(story.finished("success", 200, prediction=prediction))
        story.took({"audit": perf_counter() - recorded})

    async def _to_its_end(self, story: Story, steps: Awaitable[Answer], deadline: Deadline) -> Answer:
        """Within the deadline, and on record however it ends."""
        try:
            async with asyncio.timeout(deadline.left) as timeout:
                with self.draining.bounds(timeout):
                    return await steps
        except asyncio.CancelledError:
            await asyncio.shield(self.recorder.record(story.finished("failed", 499, "client-gone")))
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: whatever went wrong is recorded, then answered
            problem = self.draining.error() if self.draining.cuts(error) else as_gateway_error(error)
            outcome: Outcome = "refused" if problem.status < 500 else "failed"
            await self.recorder.record(story.finished(outcome, problem.status, problem.slug))
            raise problem from (error if problem is not error else None)
        finally:
            self.observe(story)
