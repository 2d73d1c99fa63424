"""How numbers, times and states are said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from gateway.admission.usage_report import UsageDay
from gateway.admission.usage_tables import COUNTS, LATENCY_MS
from gateway.console.charts import HEIGHT, drawn
from gateway.console.forms import expiry
from gateway.console.sign_in import own_path
from gateway.console.words import machine, number, plural, relative, short, span, utc
from gateway.errors import InvalidParameter

NOON = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


def test_a_time_is_told_in_utc_whatever_its_zone():
    assert utc(NOON.astimezone(timezone(timedelta(hours=5)))) == "2026-01-31 12:00:00"
    assert utc("2026-01-31T12:00:00.123456Z") == "2026-01-31 12:00:00"
    assert utc(None) == ""
    assert machine("2026-01-31T12:00:00.123456Z") == "2026-01-31T12:00:00.123Z"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (3600, "1 hour"),
        (86_399, "23 hours"),
        (172_800, "2 days"),
    ],
)
def test_a_span_is_told_in_its_largest_unit(seconds, said):
    assert span(seconds) == said


def test_a_moment_is_told_from_now():
    assert relative(NOON - timedelta(hours=3), NOON) == "3 hours ago"
    assert relative(NOON + timedelta(days=2), NOON) == "in 2 days"
    assert relative(NOON, NOON) == "now"


def test_numbers():
    assert number(1234567) == "1\u202f234\u202f567"
    assert plural(1, "key") == "1 key"
    assert plural(2, "key") == "2 keys"
    assert short("a" * 64) == "a" * 12 + "…"
    assert short("abc") == "abc"


@pytest.mark.parametrize(
    ("wanted", "goes"),
    [
        ("/console/keys?q=a", "/console/keys?q=a"),
        ("/console", "/console"),
        ("", "/console"),
        ("/console/login", "/console"),
        ("/console/logout", "/console"),
        ("//evil.example/console", "/console"),
        ("https://evil.example/console", "/console"),
        ("javascript:alert(1)", "/console"),
        ("/console/\\evil.example", "/console"),
        ("/console/\n", "/console"),
        ("/consoles", "/console"),
        ("http://[bad", "/console"),
    ],
)
def test_one_is_sent_to_a_page_of_the_console_and_nowhere_else(wanted, goes):
    assert own_path(wanted) == goes


def test_an_expiry_is_a_number_of_days():
    assert expiry("0") is None
    left = datetime.fromisoformat(expiry("30")) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    for bad in ("", "-1", "1.5", "99999", "soon", "\u0663\u0660x"):
        with pytest.raises(InvalidParameter):
            expiry(bad)


def used(day, requests, denied=0):
    counts = dict.fromkeys(COUNTS, 0) | {"requests": requests, "denied_limit": denied, "succeeded": requests - denied}
    return UsageDay(day, "st-mary", "key_000000000000", **counts, buckets=(0,) * (len(LATENCY_MS) + 1))


def test_the_busiest_day_is_as_high_as_the_drawing():
    days = [date(2026, 1, day) for day in (1, 2, 3)]
    traffic = drawn([(days[0], used(days[0], 10, 4)), (days[1], None), (days[2], used(days[2], 5))])
    assert traffic.most == 10
    assert [(bar.served, bar.denied) for bar in traffic.bars] == [(6, 4), (0, 0), (5, 0)]
    assert traffic.bars[0].served_height + traffic.bars[0].denied_height == HEIGHT
    assert traffic.bars[2].served_height == HEIGHT / 2
    assert traffic.total.requests == 15
    assert traffic.today.requests == 5


def test_where_nothing_was_used_there_is_nothing_to_draw():
    traffic = drawn([(date(2026, 1, 1), None)])
    assert traffic.total is None
    assert traffic.most == 0
