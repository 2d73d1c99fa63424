"""Who is traced, and what a span may say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.api.exchange import Exchange
from gateway.settings import TracesSettings
from gateway.telemetry.tracing import ATTRIBUTES, Tracer, allowed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{}"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    yield exporter
    exporter.shutdown()


def traced(exporter: InMemorySpanExporter, ratio: float, traceparents: list[str | None]) -> list[str]:
    """What the model server would be told of each."""
    tracer, told = Tracer(TracesSettings(endpoint="http://x/v1/traces", ratio=ratio), exporter), []
    for traceparent in traceparents:
        exchange = Exchange("request-1", route="GET /v1/models")
        request = tracer.begin(exchange, traceparent)
        told.append(request.traceparent)
        tracer.end(request, exchange, 200)
    tracer.close()
    return told


@pytest.mark.parametrize(("ratio", "flags", "spans"), [(0.0, "01", 1), (1.0, "00", 0), (0.0, None, 0), (1.0, None, 1)])
def test_a_callers_word_counts_and_else_the_share(
    exporter: InMemorySpanExporter, ratio: float, flags: str | None, spans: int
) -> None:
    traced(exporter, ratio, [PARENT.format(flags) if flags else None])
    assert len(exporter.get_finished_spans()) == spans


def test_the_share_is_about_what_was_set(exporter: InMemorySpanExporter) -> None:
    traced(exporter, 0.25, [None] * 1000)
    assert 150 < len(exporter.get_finished_spans()) < 350


def test_the_model_server_is_told_a_child_of_the_callers_trace(exporter: InMemorySpanExporter) -> None:
    sampled, unsampled = traced(exporter, 1.0, [PARENT.format("01"), PARENT.format("00")])
    assert sampled.startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert "00f067aa0ba902b7" not in sampled
    assert sampled.endswith("-01")
    assert unsampled.endswith("-00")


def test_what_is_not_on_the_list_is_dropped() -> None:
    assert allowed({"cordon.images": 3, "patient": "x", "http.request.header.cookie": "x", "error.type": ""}) == {
        "cordon.images": 3
    }
    forbidden = ("url", "header", "address", "user", "key", "tenant", "body", "exception")
    assert not [name for name in ATTRIBUTES if any(word in name for word in forbidden)]


def test_a_route_that_is_not_known_gives_no_word_of_the_caller(exporter: InMemorySpanExporter) -> None:
    tracer = Tracer(TracesSettings(endpoint="http://x/v1/traces", ratio=1), exporter)
    exchange = Exchange("request-1", problem="not-found")
    tracer.end(tracer.begin(exchange, None), exchange, 404)
    tracer.close()
    [span] = exporter.get_finished_spans()
    assert span.name == "unmatched"
    assert dict(span.attributes or {})["http.request.method"] == "_OTHER"
    assert dict(span.attributes or {})["error.type"] == "not-found"
    assert set(span.resource.attributes) == {"service.name", "service.version", "service.instance.id"}


def test_without_the_extra_it_is_said_what_to_install() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['opentelemetry.sdk', 'opentelemetry.sdk.resources']));"
        "import gateway.telemetry.tracing"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "TRACES_ENDPOINT needs the extra otel" in done.stderr.splitlines()[-1]


def test_an_endpoint_that_is_no_url_is_refused() -> None:
    with pytest.raises(ValueError, match="endpoint"):
        TracesSettings(endpoint="collector:4318")
