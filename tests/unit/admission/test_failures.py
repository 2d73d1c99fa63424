from __future__ import annotations

import pytest

from gateway.admission import failures
from gateway.admission.failures import FailureLimit
from gateway.errors import QuotaExceeded


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_burst_is_free_and_the_next_is_refused_until_one_is_forgiven() -> None:
    clock = Clock()
    limit = FailureLimit(burst=3, seconds=30, now=clock)
    for _ in range(3):
        limit.check("192.0.2.1")
        limit.record("192.0.2.1")
    with pytest.raises(QuotaExceeded) as refused:
        limit.check("192.0.2.1")
    assert refused.value.retry_after == pytest.approx(10)
    assert "192.0.2.1" not in repr(refused.value.problem("x"))

    clock.now += 10
    limit.check("192.0.2.1")
    limit.record("192.0.2.1")
    with pytest.raises(QuotaExceeded):
        limit.check("192.0.2.1")


def test_another_address_is_not_concerned() -> None:
    limit = FailureLimit(burst=1, now=Clock())
    limit.record("192.0.2.1")
    limit.check("192.0.2.2")


@pytest.mark.parametrize(
    ("one", "other"), [("2001:db8::1", "2001:db8::ffff:1"), ("192.0.2.1", "::ffff:192.0.2.1"), ("", "")]
)
def test_addresses_of_one_caller_count_together(one: str, other: str) -> None:
    limit = FailureLimit(burst=1, now=Clock())
    limit.record(one)
    with pytest.raises(QuotaExceeded):
        limit.check(other)


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "MAX_ADDRESSES", 3)
    limit = FailureLimit(burst=1, now=Clock())
    for last in range(4):
        limit.record(f"192.0.2.{last}")
    limit.check("192.0.2.0")  # forgotten
    with pytest.raises(QuotaExceeded):
        limit.check("192.0.2.3")
