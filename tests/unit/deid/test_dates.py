"""Dates moved by whole days: what they say of each other stays, what is no date does not pass."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.deid.dates import is_date, is_time, shift


@pytest.mark.parametrize(
    ("vr", "value", "moved"),
    [
        ("DA", "20240301", "20240229"),
        ("DA", "2024.03.01", "2024.02.29"),
        ("DA", "2024-03-01", "2024-02-29"),
        ("DA", "20240301-20240302", "20240229-20240301"),
        ("DA", "-20240301", "-20240229"),
        ("DA", "20240301-", "20240229-"),
        ("DT", "20240301", "20240229"),
        ("DT", "20240301101112.123456+0130", "20240229101112.123456+0130"),
        ("DT", "20240301101112-0500", "20240229101112-0500"),
        ("DT", "2024-0500", "2024-0500"),
        ("DT", "202403", "202403"),
        ("DT", "2024", "2024"),
        ("DT", "20240301-20240302", "20240229-20240301"),
        ("DT", "20240301101112+0100-20240302101112+0100", "20240229101112+0100-20240301101112+0100"),
    ],
)
def test_a_day_earlier_in_the_same_form(vr, value, moved):
    assert shift(value, vr, 1) == moved


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("DA", "20240230"), ("DA", "20241301"), ("DA", "00000000"), ("DA", "2024"), ("DA", "ERIKA"), ("DA", "-"),
        ("DA", ""),
        ("DA", "20240101-ERIKA"), ("DA", "2024.01-02"), ("DT", "20240230"), ("DT", "2024013"), ("DT", "20240101+9900"),
        ("DT", "20240101101112.1234567"), ("DT", "00010101"), ("DT", "20240101 Erika"),
        ("DA", "\uff12\uff10\uff12\uff1420101"),
    ],
)  # fmt: skip
def test_what_is_no_day_is_no_date(vr, value):
    assert shift(value, vr, 400) is None


@pytest.mark.parametrize("value", ["10", "1011", "101112", "101112.123456", "10:11:12", "101112-121314", "101112-"])
def test_a_time_is_one(value):
    assert is_time(value)


@pytest.mark.parametrize("value", ["1", "101", "Erika", "101112.1234567", "10111213", "-", "101112 Erika"])
def test_what_is_no_time_is_none(value):
    assert not is_time(value)


@given(st.dates(date(1880, 1, 1), date(2100, 1, 1)), st.dates(date(1880, 1, 1), date(2100, 1, 1)), st.integers(0, 9999))
def test_intervals_stay(first, second, days):
    def moved(day):
        text = shift(day.strftime("%Y%m%d"), "DA", days)
        assert text is not None
        assert is_date(text, "DA")
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))

    assert (moved(second) - moved(first)) == second - first
    assert (first - moved(first)).days == days


@given(st.text(max_size=40), st.sampled_from(["DA", "DT"]))
def test_any_text_is_a_date_or_refused(text, vr):
    moved = shift(text, vr, 30)
    assert moved is None or set(moved) <= set("0123456789.+-")
