from __future__ import annotations

from gateway.admission.breaker import Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_at_the_last_of_the_failures_in_a_row() -> None:
    breaker = Breaker(failures=3, seconds=2, now=Clock())
    assert [breaker.failed() for _ in range(3)] == [False, False, True]
    assert breaker.open
    assert not breaker.allows()


def test_a_success_between_starts_the_count_anew() -> None:
    breaker = Breaker(failures=2, seconds=2, now=Clock())
    breaker.failed()
    assert breaker.succeeded() is False
    assert breaker.failed() is False
    assert breaker.allows()


def test_one_call_tries_after_the_pause_and_closes_it() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, seconds=2, now=clock)
    breaker.failed()
    clock.now = 1.9
    assert not breaker.allows()
    clock.now = 2.0
    assert [breaker.allows(), breaker.allows()] == [True, False]
    assert breaker.succeeded() is True
    assert not breaker.open
    assert breaker.allows()


def test_a_failed_trial_opens_it_again_silently() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, seconds=2, now=clock)
    breaker.failed()
    clock.now = 2.0
    breaker.allows()
    assert breaker.failed() is False
    clock.now = 3.9
    assert not breaker.allows()


def test_a_trial_whose_outcome_is_never_told_is_followed_by_another() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, seconds=2, now=clock)
    breaker.failed()
    clock.now = 2.0
    assert breaker.allows()
    clock.now = 4.0
    assert breaker.allows()
