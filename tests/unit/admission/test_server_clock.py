"""A server's clock held against the process's own: what waiting explains is no step, and what it does not is one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.server_clock import LATE_US, SHARP_US, SLEW, ServerClock

HOUR = 3_600_000_000
AHEAD = 1_700_000_000_000_000  # of the server's clock

delays = st.integers(0, 200_000)
calls = st.lists(st.tuples(st.integers(0, HOUR), delays, delays), min_size=1, max_size=40)


def told(clock: ServerClock, begin: int, there: int = 20, back: int = 20, *, ahead: int = AHEAD) -> bool:
    """One call and its answer. Whether the time of the answer was possible."""
    at, end = begin + there + ahead, begin + there + back
    if clock.jumped(at, begin, end):
        return False
    clock.heard(at, begin, end)
    return True


@given(calls=calls, drift=st.floats(-SLEW, SLEW))
def test_however_slow_the_answers_no_clock_that_runs_is_held_to_have_been_set(
    calls: list[tuple[int, int, int]], drift: float
) -> None:
    clock, now = ServerClock(), 1_000_000
    for pause, there, back in calls:
        now += pause
        ahead = AHEAD + round(drift * (now + there))
        at = now + there + ahead
        span = clock.span(now)
        assert span.earliest <= at
        assert at <= span.latest or there > LATE_US - 2, "none that came in time is sent anew"
        assert told(clock, now, there, back, ahead=ahead)
        now += there + back


@given(calls=calls, step=st.integers(SHARP_US + LATE_US + 1, 1000 * HOUR), sign=st.sampled_from((-1, 1)))
def test_a_step_is_noticed_by_the_script_or_by_the_answer(
    calls: list[tuple[int, int, int]], step: int, sign: int
) -> None:
    clock, now = ServerClock(), 1_000_000
    for pause, there, back in calls:
        assert told(clock, now, there, back)
        now += there + back + pause
        assert told(clock, now)
    at = now + 20 + AHEAD + sign * step
    span = clock.span(now)
    assert not span.earliest <= at <= span.latest
    assert clock.jumped(at, now, now + 40)


def test_what_came_too_late_is_no_step() -> None:
    clock = ServerClock()
    told(clock, 0)
    begin, there = 1_000_000, LATE_US + 5_000
    assert begin + there + AHEAD > clock.span(begin).latest
    assert told(clock, begin, there)


def test_a_clock_of_which_nothing_is_known_may_say_anything() -> None:
    clock = ServerClock()
    assert (clock.sharp, clock.jumped(5, 0, 1)) == (False, False)
    assert clock.span(7) == (0, 2**53 - 1)
    told(clock, 0, 3 * SHARP_US, 3 * SHARP_US)
    assert not clock.sharp
    told(clock, 1_000_000)
    assert clock.sharp
    clock.forget()
    assert not clock.sharp
    assert told(clock, 2_000_000, ahead=5)
