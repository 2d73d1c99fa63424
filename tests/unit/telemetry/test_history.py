"""The last hour, minute by minute, from the metrics' own numbers."""

from __future__ import annotations

import pytest

from gateway.telemetry import catalogue as of
from gateway.telemetry.history import MINUTES, History, percentile
from gateway.telemetry.meter import Meter

PREDICT = "POST /v1/predict"


@pytest.fixture
def meter():
    return Meter()


class Clock:
    def __init__(self):
        self.at = 1_000_000.0

    def __call__(self):
        self.at += 60
        return self.at


async def test_a_minute_is_what_was_counted_in_it(meter):
    history = History(meter.registry, Clock())
    requests, seconds = meter._requests, meter._request_seconds
    requests.inc(PREDICT, "2xx", by=5)
    await history.take()
    requests.inc(PREDICT, "2xx", by=3)
    requests.inc(PREDICT, "gone")
    requests.inc("POST /console/try", "5xx")
    requests.inc("GET /console", "2xx", by=40)  # hides nothing
    for _ in range(4):
        seconds.observe(0.03, PREDICT)
    seconds.observe(20.0, "GET /v1/admin/audit")
    meter.denied("quota", "minute")
    await history.take()
    first, running = history.minutes()
    assert (first.served, first.refused, first.failed) == (3, 1, 1)
    assert first.denied == {"window": 1}
    assert 25 <= first.latency[50] <= 50
    assert (running.served, running.denied, running.latency[99]) == (0, {}, None)


async def test_an_hour_is_kept_and_no_more(meter):
    history = History(meter.registry, Clock())
    assert history.minutes() == ()
    for _ in range(3 * MINUTES):
        await history.take()
    assert len(history.minutes()) == MINUTES


def test_a_gauge_is_read_as_it_is_now(meter):
    gauge = meter.gauge(of.BREAKER)
    gauge.set(1, "m", "2", "open")
    history = History(meter.registry)
    assert history.value(of.BREAKER, model="m", version="2", state="open") == 1
    assert history.value(of.BREAKER, model="m", version="3", state="open") == 0
    assert history.value(of.DECODERS) == 0


@pytest.mark.parametrize(
    ("counts", "percent", "expected"),
    [
        ({}, 50, None),
        ({0.1: 0, float("inf"): 0}, 50, None),
        ({0.1: 10, 0.2: 10, float("inf"): 10}, 50, 50.0),
        ({0.1: 5, 0.2: 10, float("inf"): 10}, 75, 150.0),
        ({0.1: 0, 0.2: 0, float("inf"): 4}, 50, 200.0),
    ],
    ids=["nothing", "none", "within the first", "within the second", "above all"],
)
def test_percentiles(counts, percent, expected):
    assert percentile(counts, percent) == (pytest.approx(expected) if expected is not None else None)
