"""Beside all steps: counts what has happened. The steps know nothing of it: it reads what they told their callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry

from gateway.telemetry import catalogue as of
from gateway.telemetry.families import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from gateway.api.exchange import Exchange
    from gateway.audit.denials import Kind
    from gateway.story import Story

GONE = "gone"
_CLIENT_GONE = 499
_DENIED = frozenset({"unauthenticated", "forbidden", "suspended", "switched-off", "quota-exceeded"})
_CLASSES = {number: f"{number // 100}xx" for number in range(100, 600)} | {_CLIENT_GONE: GONE}
_INFLIGHT = "inflight"  # the limiter's name of concurrency among the windows
_WHY_FORBIDDEN = frozenset({"scope", "plan", "switch"})

Cause = Literal["overdue", "broken", "abandoned"]


class Meter:
    """One a process. Counting costs no I/O and never fails a request.

    Attributes:
        registry: What is exported.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self.counter(of.REQUESTS)
        self._request_seconds = self.histogram(of.REQUEST_SECONDS)
        self._running = self.gauge(of.RUNNING)
        self._problems = self.counter(of.PROBLEMS)
        self._received = self.counter(of.RECEIVED)
        self._denials = self.counter(of.DENIALS)
        self._break_glass = self.counter(of.BREAK_GLASS)
        self._step_seconds = self.histogram(of.STEP_SECONDS)
        self._objects = self.counter(of.OBJECTS)
        self._elements = self.counter(of.ELEMENTS)
        self._identifiers = self.counter(of.IDENTIFIERS)
        self._looked_at = self.counter(of.LOOKED_AT)
        self._frames_masked = self.counter(of.FRAMES_MASKED)
        self._regions_masked = self.counter(of.REGIONS_MASKED)
        self._look_seconds = self.histogram(of.LOOK_SECONDS)
        self._images = self.histogram(of.INFERENCE_IMAGES)
        self._inference_seconds = self.histogram(of.INFERENCE_SECONDS)
        self._copies = self.counter(of.SHADOW_COPIES)
        self._cached = self.counter(of.CACHED)
        # A rate needs a value before the first event: what an alert may wait for is there from the start.
        for problem in ("overloaded", "audit-unavailable", "model-unavailable", "internal"):
            self._problems.inc(problem, by=0)
        for step in of.STEPS:
            self._step_seconds.show(step)

    def counter(self, family: of.Family) -> Counter:
        """A metric of the catalogue, made in this registry; once each."""
        return Counter(family, self.registry)

    def gauge(self, family: of.Family) -> Gauge:
        """The same, for a gauge."""
        return Gauge(family, self.registry)

    def histogram(self, family: of.Family) -> Histogram:
        """The same, for a histogram."""
        return Histogram(family, self.registry)

    def began(self) -> None:
        """A request has come. ``ended`` must follow."""
        self._running.add(1)

    def ended(self, exchange: Exchange, status: int) -> None:
        """It has been answered with this status, or 499 where the caller had left."""
        self._running.add(-1)
        route, problem = exchange.route, exchange.problem
        self._requests.inc(route, _CLASSES.get(status, of.OTHER))
        if problem:
            self._problems.inc(problem)
        if exchange.bytes_in:
            self._received.inc(by=exchange.bytes_in)
        if problem not in _DENIED:
            self._request_seconds.observe(exchange.seconds, route)
        if (admit := exchange.steps.get("admit")) is not None:
            self._step_seconds.observe(admit, "admit")
        if exchange.principal is not None and exchange.principal.break_glass:
            self._break_glass.inc()

    def denied(self, kind: Kind, reason: str) -> None:
        """A request was refused at the door."""
        match kind:
            case "unauthenticated":
                self._denials.inc(kind, reason)
            case "forbidden":
                self._denials.inc(reason if reason in _WHY_FORBIDDEN else of.OTHER, reason)
            case "quota":  # windows have names that an operator chose: which it was, is in the audit log
                self._denials.inc("concurrency" if reason == _INFLIGHT else "window", "limit")
            case "overload":
                self._denials.inc(kind, reason)

    def copied(self, model: str, version: str, outcome: str) -> None:
        """A request's copy for a version on trial has ended."""
        self._copies.inc(model, version, outcome)

    def told(self, story: Story) -> None:
        """An image or object has gone through the pipeline, however far."""
        seconds = story.seconds
        for step, took in seconds.items():
            self._step_seconds.observe(took, step)
        made = story.sanitized
        if made is None:
            return
        self._step_seconds.observe(story.waited, "queue")
        self._objects.inc(made.media_type.value)
        report = made.report
        for action, count in report.actions.items():
            self._elements.inc(action, by=count)
        for kind, count in report.text_found.items():
            self._identifiers.inc(kind, by=count)
        if report.frames_looked_at:
            self._looked_at.inc(by=report.frames_looked_at)
            self._look_seconds.observe(report.seconds_text)
        if report.regions_masked:
            self._regions_masked.inc(by=report.regions_masked)
            self._frames_masked.inc(by=report.frames_masked)
        if story.model is not None and "infer" in seconds:
            which = story.model.name, story.model.version
            if story.cached:
                self._cached.inc(*which)
                return
            self._inference_seconds.observe(seconds["infer"], *which)
            self._images.observe(story.images, *which)
