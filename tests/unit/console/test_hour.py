"""The drawings of an hour hold what was counted, at the right place."""

from __future__ import annotations

import pytest

from gateway.console.charts import HEIGHT
from gateway.console.hour import STEP, drawn, nice
from gateway.telemetry.history import MINUTES, Minute


def minute(at, *counts, latency=None, **denied):
    return Minute(60.0 * at, *counts, denied, dict.fromkeys((50, 95, 99), latency))


def test_an_hour_of_nothing():
    hour = drawn([])
    assert (hour.columns, hour.denied, hour.now) == ((), (), {})
    assert all(pieces == () for pieces in hour.lines.values())


def test_the_newest_minute_is_at_the_right_edge_and_bars_stand_on_each_other():
    hour = drawn([minute(1, 4, 0, 0), minute(2, 2, 1, 1, window=3), minute(3, 0, 0, 0, window=1, scope=9)])
    assert [column.x for column in hour.columns] == [STEP * (MINUTES - back) for back in (3, 2, 1)]
    assert hour.most == 5
    assert hour.columns[0].parts == (("served", HEIGHT * 0.2, HEIGHT * 0.8),)
    tops = [top for _, top, _ in hour.columns[1].parts]
    heights = [height for _, _, height in hour.columns[1].parts]
    assert tops == pytest.approx([HEIGHT * (1 - share / 5) for share in (2, 3, 4)])
    assert sum(heights) == pytest.approx(HEIGHT * 0.8)
    assert hour.columns[2].parts == ()
    assert hour.totals == {"served": 6, "refused": 1, "failed": 1}
    assert hour.denied == (("scope", 9), ("window", 4))


def test_a_line_has_a_gap_where_nothing_was_measured():
    hour = drawn([minute(at, 1, 0, 0, latency=value) for at, value in enumerate((40.0, 50.0, None, 90.0))])
    assert hour.slowest == 100
    pieces = hour.lines[50]
    assert [len(piece.split()) for piece in pieces] == [2, 2]
    right = STEP * MINUTES
    assert pieces[1] == f"{right - STEP},{HEIGHT * 0.1:.1f} {right},{HEIGHT * 0.1:.1f}"  # a lone minute
    assert hour.now == {50: 90.0, 95: 90.0, 99: 90.0}


def test_no_more_than_an_hour_is_drawn():
    hour = drawn([minute(at, at, 0, 0) for at in range(MINUTES + 5)])
    assert len(hour.columns) == MINUTES
    assert hour.columns[0].x == 0


@pytest.mark.parametrize(("most", "expected"), [(0, 1), (1, 1), (3, 5), (5, 5), (6, 10), (101, 200), (900, 1000)])
def test_heights_are_round_numbers(most, expected):
    assert nice(most) == expected
