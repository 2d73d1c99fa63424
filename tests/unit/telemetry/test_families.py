"""Metrics cannot grow without end, whatever they are given."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gateway.telemetry.catalogue import FAMILIES, Family
from gateway.telemetry.families import Counter, Gauge, Histogram
from tests.support.metrics import numbers


def test_what_comes_beyond_the_most_is_counted_under_other() -> None:
    registry = CollectorRegistry()
    counter = Counter(Family("tries_total", "counter", "Tries.", ("who", "why"), most=3), registry)
    for number in range(1000):
        counter.inc(f"caller-{number}", "x")

    assert numbers(generate_latest(registry).decode()) == {
        'tries_total{who="caller-0",why="x"}': 1,
        'tries_total{who="caller-1",why="x"}': 1,
        'tries_total{who="caller-2",why="x"}': 1,
        'tries_total{who="other",why="other"}': 997,
    }


def test_a_child_that_is_known_is_found_again_when_there_is_no_room() -> None:
    registry = CollectorRegistry()
    counter = Counter(Family("tries_total", "counter", "Tries.", ("who",), most=1), registry)
    for who in ("a", "b", "a"):
        counter.inc(who)
    assert numbers(generate_latest(registry).decode()) == {'tries_total{who="a"}': 2, 'tries_total{who="other"}': 1}


def test_labels_that_do_not_fit_are_a_defect() -> None:
    counter = Counter(Family("tries_total", "counter", "Tries.", ("who",), most=1), CollectorRegistry())
    with pytest.raises(ValueError, match="1 labels"):
        counter.inc()


def test_one_of_several_is_chosen() -> None:
    registry = CollectorRegistry()
    gauge = Gauge(Family("mode", "gauge", "Mode.", ("mode",), most=4), registry)
    for mode in ("far", "near"):
        gauge.choose(mode, ("near", "far"))
    assert numbers(generate_latest(registry).decode()) == {'mode{mode="near"}': 1, 'mode{mode="far"}': 0}


def test_an_empty_histogram_is_shown() -> None:
    registry = CollectorRegistry()
    Histogram(Family("took_seconds", "histogram", "Took.", ("step",), 2, (1.0,)), registry).show("infer")
    assert numbers(generate_latest(registry).decode())['took_seconds_count{step="infer"}'] == 0


def test_names_follow_prometheus() -> None:
    """https://prometheus.io/docs/practices/naming/."""
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert family.name.startswith("cordon_")
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        assert family.help.endswith("."), family.name
        assert (family.most == 1) == (not family.labels), family.name
        assert not {"key", "key_id", "tenant", "path", "address", "request_id", "patient"} & set(family.labels)
