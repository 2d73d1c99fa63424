"""Around steps 2 to 7: what is known of a request so far, which is what its audit record says, however it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from gateway.audit.events import RequestFinished, RequestStarted
from gateway.deadline import passed
from gateway.errors import BadModelAnswer, GatewayError, InternalError, ModelUnavailable, Overloaded
from gateway.isolation import WorkerDefect
from inference_client.errors import InferenceError, InferenceTimeout, InvalidAnswer, ModelNotReady, ServerBusy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.admission.principal import Admission
    from gateway.audit.events import Outcome
    from gateway.models.spec import ModelSpec
    from gateway.work import Sanitized

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Story:
    """One request.

    Attributes:
        admission: Who asks for what.
        model: The model asked, once it is known.
        sanitized: What came back from the worker.
        tensor_digest: SHA-256 of what the model was given, hex.
        output_digest: SHA-256 of the object that is given back, hex.
        images: How many the model is given.
        cached: Whether what the model says was kept from an earlier request.
        waited: Seconds that passed until a worker process had begun, and until what it made was here.
        seconds: What each step took.
        ended: When steps that follow each other had ended, on ``perf_counter``'s clock, and what each of them took.
    """

    admission: Admission
    model: ModelSpec | None = None
    sanitized: Sanitized | None = None
    tensor_digest: str = ""
    output_digest: str = ""
    images: int = 0
    cached: bool = False
    waited: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    ended: list[tuple[float, Mapping[str, float]]] = field(default_factory=list)

    def took(self, seconds: Mapping[str, float]) -> None:
        """These steps, one after another, have ended just now."""
        self.seconds |= seconds
        self.ended.append((perf_counter(), seconds))

    def spans(self) -> Iterator[tuple[str, float, float]]:
        """Each step with its beginning and its end, on ``perf_counter``'s clock."""
        for number, (end, seconds) in enumerate(self.ended):
            began = end - sum(seconds.values())
            if number == 0 and self.waited:  # for a worker
                yield "queue", began - self.waited, began
            for step, took in seconds.items():
                yield step, began, began + took
                began += took

    def started(self) -> RequestStarted:
        """Its first record."""
        return RequestStarted(**self._who())

    def finished(self, outcome: Outcome, status: int, problem: str = "", prediction: str = "") -> RequestFinished:
        """Its last one."""
        model, sanitized = self.model, self.sanitized
        return RequestFinished(
            **self._who(),
            outcome=outcome,
            status=status,
            problem=problem,
            prediction=prediction,
            cached=self.cached,
            media_type=sanitized.media_type.value if sanitized else "",
            input_digest=sanitized.input_digest if sanitized else "",
            tensor_digest=self.tensor_digest,
            output_digest=self.output_digest,
            patient=(sanitized.pseudonyms.patient or "") if sanitized else "",
            deidentification=sanitized.report.as_json() if sanitized else {},
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


def as_gateway_error(error: Exception) -> GatewayError:
    """Each thing that can go wrong in the steps, as the one error that the caller is told."""
    match error:
        case GatewayError():
            return error
        case TimeoutError() | InferenceTimeout():
            return passed()
        case ModelNotReady(retry_after=seconds) if seconds is not None:
            return ModelUnavailable("The model server is not ready", retry_after=seconds)
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
