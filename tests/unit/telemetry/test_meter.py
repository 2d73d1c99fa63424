"""What is counted of a request, and under which of our names."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from gateway.api.exchange import Exchange
from gateway.telemetry.meter import Meter
from tests.support.metrics import numbers


def told(meter: Meter) -> dict[str, float]:
    return {series: value for series, value in numbers(generate_latest(meter.registry).decode()).items() if value}


@pytest.mark.parametrize(
    ("status", "name"), [(200, "2xx"), (204, "2xx"), (404, "4xx"), (499, "gone"), (503, "5xx"), (999, "other")]
)
def test_a_status_is_told_by_its_class(status: int, name: str) -> None:
    meter = Meter()
    meter.began()
    assert told(meter)["cordon_http_requests_running"] == 1
    meter.ended(Exchange("r", route="GET /v1/models"), status)
    assert told(meter)[f'cordon_http_requests_total{{route="GET /v1/models",status="{name}"}}'] == 1
    assert "cordon_http_requests_running" not in told(meter)


@pytest.mark.parametrize(
    ("kind", "reason", "labels"),
    [
        ("unauthenticated", "expired", ("unauthenticated", "expired")),
        ("forbidden", "scope", ("scope", "scope")),
        ("forbidden", "switch", ("switch", "switch")),
        ("forbidden", "plan", ("plan", "plan")),
        ("quota", "inflight", ("concurrency", "limit")),
        ("quota", "an-operators-name+minute", ("window", "limit")),
    ],
)
def test_a_denial_is_told_by_the_policy_that_refused(kind, reason: str, labels: tuple[str, str]) -> None:  # type: ignore[no-untyped-def]
    meter = Meter()
    meter.denied(kind, reason)
    assert told(meter) == {'cordon_denials_total{{policy="{}",reason="{}"}}'.format(*labels): 1}


def test_what_is_denied_makes_the_others_look_no_faster() -> None:
    meter = Meter()
    meter.began()
    meter.ended(Exchange("r", route="POST /v1/predict", problem="unauthenticated"), 401)
    assert not [series for series in told(meter) if series.startswith("cordon_http_request_seconds")]
    assert told(meter)['cordon_http_problems_total{problem="unauthenticated"}'] == 1
