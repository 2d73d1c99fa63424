"""Beside all steps: traces of requests, by OpenTelemetry: one span a request, one a step, none with a word of a caller.

The steps know nothing of it: their spans are made when they have ended, from the times that they told. The span of
step 5 has its ID before it begins, since the model server is told that ID, and makes its own spans children of it.
"""

from __future__ import annotations

import time
import uuid
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway import __version__

try:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags
except ModuleNotFoundError as error:  # of the extra, or of what it needs
    raise ValueError(
        f"TRACES_ENDPOINT needs the extra otel (no module {error.name}): pip install cordon[otel]"
    ) from None

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

    from gateway.api.exchange import Exchange
    from gateway.settings import TracesSettings
    from gateway.story import Story

ATTRIBUTES = frozenset(
    {
        "http.request.method", "http.route", "http.response.status_code", "error.type",
        "cordon.request_id", "cordon.model", "cordon.model_version", "cordon.images", "cordon.frames",
        "cordon.bytes_in",
    }
)  # fmt: skip
"""What a span may say: names of ours, numbers, and the correlation ID. Whatever else is dropped."""

_SEND_SECONDS = 5.0
_INFER = "infer"


class _Ids(RandomIdGenerator):
    """Random IDs, but for a span whose ID was given away before it began."""

    reserved: int | None = None

    def generate_span_id(self) -> int:
        reserved, self.reserved = self.reserved, None
        return reserved if reserved is not None else super().generate_span_id()


@dataclass(slots=True)
class TracedRequest:
    """One request's trace.

    Attributes:
        span: Of the whole request; it records nothing where the request was not chosen.
        infer_id: ID of the span of step 5.
        epoch: Nanoseconds since 1970 at the zero of ``perf_counter``.
    """

    span: Span
    infer_id: int
    epoch: int

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self.span.get_span_context().trace_id:032x}"

    @property
    def traceparent(self) -> str:
        """For the model server: as a child of step 5, where that is recorded."""
        known = self.span.get_span_context()
        parent = self.infer_id if self.span.is_recording() else known.span_id
        return f"00-{self.trace_id}-{parent:016x}-{int(known.trace_flags):02x}"

    def at(self, moment: float) -> int:
        """A moment on ``perf_counter``'s clock, in nanoseconds since 1970."""
        return self.epoch + int(moment * 1e9)


_CURRENT: ContextVar[TracedRequest | None] = ContextVar("traced_request", default=None)


class Tracer:
    """One a process.

    Args:
        settings: Where to, and how many.
        exporter: In place of the one that the settings name.

    Raises:
        ValueError: The extra is not installed.
    """

    def __init__(self, settings: TracesSettings, exporter: SpanExporter | None = None) -> None:
        self._ids = _Ids()
        about = {"service.name": "cordon", "service.version": __version__, "service.instance.id": str(uuid.uuid4())}
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.ratio)),
            resource=Resource(about),  # not ``create``: that adds what the environment says
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        exporter = exporter or OTLPSpanExporter(endpoint=settings.endpoint, timeout=_SEND_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("cordon", __version__)

    def begin(self, exchange: Exchange, traceparent: str | None) -> TracedRequest:
        """A request has come; with the trace that it belongs to, if its caller named one in the right form."""
        epoch = time.time_ns() - time.perf_counter_ns()
        span = self._tracer.start_span(
            "request",
            context=_context_of(traceparent),
            kind=SpanKind.SERVER,
            start_time=epoch + int(exchange.began * 1e9),
        )
        traced = TracedRequest(span, self._ids.generate_span_id(), epoch)
        _CURRENT.set(traced)
        return traced

    def told(self, story: Story) -> None:
        """The steps of the request of this task have ended."""
        traced = _CURRENT.get()
        if traced is None or not traced.span.is_recording():
            return
        for step, began, ended in story.spans():
            said: dict[str, str | int] = {}
            if step == _INFER and story.model is not None:
                said = {"model": story.model.name, "model_version": story.model.version, "images": story.images}
            self._step(traced, step, began, ended, **said)

    def end(self, traced: TracedRequest, exchange: Exchange, status: int) -> None:
        """The request has been answered."""
        span = traced.span
        if not span.is_recording():
            return
        if (admit := exchange.steps.get("admit")) is not None:
            self._step(traced, "admit", exchange.began, exchange.began + admit)
        method, _, path = exchange.route.partition(" ")
        span.update_name(exchange.route)
        span.set_attributes(
            allowed(
                {
                    "http.request.method": method if path else "_OTHER",  # the conventions' word for what is not known
                    "http.route": path,
                    "http.response.status_code": status,
                    "error.type": exchange.problem,
                    "cordon.request_id": exchange.request_id,
                    "cordon.frames": exchange.frames,
                    "cordon.bytes_in": exchange.bytes_in,
                }
            )
        )
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end(traced.at(time.perf_counter()))

    def close(self) -> None:
        """Send what waits, within seconds; then no more."""
        self._provider.shutdown()

    def _step(self, traced: TracedRequest, step: str, began: float, ended: float, **said: str | int) -> None:
        if step == _INFER:
            self._ids.reserved = traced.infer_id
        span = self._tracer.start_span(
            step,
            context=trace.set_span_in_context(traced.span),
            kind=SpanKind.CLIENT if step == _INFER else SpanKind.INTERNAL,
            start_time=traced.at(began),
            attributes=allowed({f"cordon.{name}": value for name, value in said.items()}),
        )
        span.end(traced.at(ended))


def allowed(attributes: dict[str, Any]) -> dict[str, Any]:
    """Those that a span may have; empty ones left out."""
    return {name: value for name, value in attributes.items() if name in ATTRIBUTES and value != ""}


def _context_of(traceparent: str | None) -> Context | None:
    if traceparent is None:
        return None
    _, trace_id, span_id, flags = traceparent.split("-")
    known = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16) & 1))
    return trace.set_span_in_context(NonRecordingSpan(known))
