"""Usage is counted in memory, written in batches, and survives a database that is away."""

from __future__ import annotations

import asyncio
import csv
import io
from dataclasses import fields
from datetime import date
from typing import Any

import pytest
import structlog

from gateway.admission.usage import ANONYMOUS, MANY, UsageCounter
from gateway.admission.usage_report import CSV_HEAD, UsageDay, csv_text, together
from gateway.admission.usage_tables import BUCKETS, COUNTS, LATENCY_MS, MEASURES
from gateway.errors import StoreUnavailable

NEW_YEAR = 1767225600.0  # 2026-01-01T00:00:00Z


class Store:
    """Keeps what it is given, and fails when it is told to: before it has written, or after."""

    def __init__(self) -> None:
        self.away: str = ""
        self.batches: dict[tuple[str, int], Any] = {}
        self.removed: list[date] = []
        self.written, self.pruned = asyncio.Event(), asyncio.Event()

    async def add(self, writer: str, batch: int, rows: Any) -> bool:
        if self.away == "before":
            raise StoreUnavailable
        new = (writer, batch) not in self.batches
        self.batches.setdefault((writer, batch), rows)
        self.written.set()
        if self.away == "after":
            raise StoreUnavailable
        return new

    async def remove_before(self, day: date) -> None:
        self.removed.append(day)
        self.pruned.set()

    def sums(self) -> dict[tuple[date, str, str], dict[str, int]]:
        sums: dict[tuple[date, str, str], dict[str, int]] = {}
        for rows in self.batches.values():
            for day, tenant, key_id, *measures in rows:
                into = sums.setdefault((day, tenant, key_id), dict.fromkeys(MEASURES, 0))
                for name, value in zip(MEASURES, measures, strict=True):
                    into[name] += value
        return sums


class Clock:
    def __init__(self) -> None:
        self.now = NEW_YEAR

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counter(store: Store, clock: Clock) -> UsageCounter:
    return UsageCounter(store, seconds=0.01, keep_days=30, most=5, now=clock)


def note(counter: UsageCounter, key_id: str = "key_1", tenant: str = "a", **changes: Any) -> None:
    said = {"status": 200, "problem": "", "frames": 1, "bytes_in": 100, "seconds": 0.004} | changes
    counter.note(key_id, tenant, **said)


def test_a_row_of_the_table_is_a_row_that_is_told() -> None:
    names = tuple(each.name for each in fields(UsageDay))
    assert names == ("day", "tenant", "key_id", *COUNTS, "buckets")
    assert len(BUCKETS) == len(LATENCY_MS) + 1
    assert list(LATENCY_MS) == sorted(LATENCY_MS)


@pytest.mark.parametrize(
    ("status", "problem", "counted"),
    [
        (200, "", {"succeeded"}),
        (303, "", {"succeeded"}),
        (422, "unreadable", {"caller_errors"}),
        (499, "client-gone", {"caller_errors"}),
        (500, "internal", {"server_errors"}),
        (503, "model-unavailable", {"server_errors"}),
        (401, "unauthenticated", {"denied_credential"}),
        (403, "forbidden", {"denied_scope"}),
        (403, "suspended", {"denied_switch"}),
        (503, "switched-off", {"denied_switch"}),
        (429, "quota-exceeded", {"denied_limit"}),
    ],
)
async def test_each_ending_is_counted_as_what_it_is(
    counter: UsageCounter, store: Store, status: int, problem: str, counted: set[str]
) -> None:
    note(counter, status=status, problem=problem)
    await counter.flush()
    [(place, sums)] = store.sums().items()
    assert place == (date(2026, 1, 1), "a", "key_1")
    denied = any(name.startswith("denied") for name in counted)
    latency = set() if denied else {"latency_us", "ms_5"}
    assert {name for name, value in sums.items() if value} == {"requests", "frames", "bytes_in"} | counted | latency


async def test_the_day_is_that_of_utc(counter: UsageCounter, store: Store, clock: Clock) -> None:
    note(counter)
    clock.now -= 1
    note(counter)
    await counter.flush()
    assert {day for day, *_ in store.sums()} == {date(2025, 12, 31), date(2026, 1, 1)}


@pytest.mark.parametrize("away", ["before", "after"])
async def test_what_could_not_be_written_is_written_later_and_once(
    counter: UsageCounter, store: Store, away: str
) -> None:
    store.away = away
    note(counter)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await counter.flush()
        note(counter)
    store.away = ""
    await counter.flush()
    assert sum(sums["requests"] for sums in store.sums().values()) == 4
    await counter.flush()
    assert sum(sums["requests"] for sums in store.sums().values()) == 4


async def test_memory_is_bounded_and_no_request_is_lost_for_it(counter: UsageCounter, store: Store) -> None:
    for n in range(20):
        note(counter, f"key_{n}")
    note(counter, "key_0")
    await counter.flush()
    sums = store.sums()
    assert len(sums) == 6
    assert sums[date(2026, 1, 1), "", MANY]["requests"] == 15
    assert sums[date(2026, 1, 1), "a", "key_0"]["requests"] == 2


async def test_it_is_written_by_itself_and_when_it_is_closed(counter: UsageCounter, store: Store) -> None:
    counter.start()
    note(counter)
    async with asyncio.timeout(10):
        await store.written.wait()
        await store.pruned.wait()
    assert store.removed == [date(2025, 12, 2)]
    note(counter, ANONYMOUS, "")
    await counter.close()
    assert {key_id for _, _, key_id in store.sums()} == {"key_1", ANONYMOUS}


async def test_a_store_that_fails_otherwise_does_not_end_the_counting(counter: UsageCounter, store: Store) -> None:
    async def broken(*_: object) -> bool:
        raise RuntimeError

    whole, store.add = store.add, broken  # type: ignore[method-assign]
    counter.start()
    note(counter)
    await asyncio.sleep(0.05)
    store.add = whole  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        await store.written.wait()
    await counter.close()
    assert sum(sums["requests"] for sums in store.sums().values()) == 1


async def test_what_is_lost_at_the_end_is_said(counter: UsageCounter, store: Store) -> None:
    store.away = "before"
    note(counter)
    note(counter, "key_2")
    with structlog.testing.capture_logs() as lines:
        await counter.close()
    assert [line["requests"] for line in lines if line["event"] == "usage.lost"] == [2]


def day(key_id: str = "key_1", tenant: str = "a", buckets: dict[int, int] | None = None, **counts: int) -> UsageDay:
    spread = [0] * len(BUCKETS)
    for place, number in (buckets or {}).items():
        spread[place] = number
    values = {name: counts.get(name, 0) for name in COUNTS}
    return UsageDay(date(2026, 1, 1), tenant, key_id, **values, buckets=tuple(spread))


def test_percentiles_are_read_from_the_histogram() -> None:
    row = day(buckets={5: 90, 11: 10}, latency_us=100_000)  # 90 in 7 to 10 ms, 10 in 70 to 100 ms
    assert row.latency_ms(45) == 8.5
    assert row.latency_ms(90) == 10.0
    assert row.latency_ms(95) == 85.0
    assert row.latency_ms(100) == 100.0
    assert row.latency_mean_ms == 1.0
    assert day(buckets={len(BUCKETS) - 1: 3}).latency_ms(50) == LATENCY_MS[-1]
    assert day().latency_ms(50) is None
    assert day().latency_mean_ms is None


def test_percentiles_are_near_the_true_ones() -> None:
    true = sorted(1.0 * 1.004**n for n in range(2000))  # 1 ms to about 3 s, evenly in the logarithm
    counter = UsageCounter(Store(), seconds=1, keep_days=1, now=Clock())
    for value in true:
        note(counter, seconds=value / 1000)
    [tally] = counter._tallies.values()
    row = day(buckets=dict(enumerate(tally[len(COUNTS) :])))
    for percent in (50, 95, 99):
        found, wanted = row.latency_ms(percent), true[len(true) * percent // 100 - 1]
        assert found is not None
        assert abs(found / wanted - 1) < 0.1


def test_sums_of_rows() -> None:
    total = together([day(requests=1, buckets={0: 1}), day("key_2", requests=2, frames=3, buckets={0: 1, 4: 1})])
    assert total is not None
    assert (total.requests, total.frames, total.latency_count, total.buckets[0]) == (3, 3, 3, 2)
    assert together([]) is None


def test_csv_is_read_back_and_no_cell_is_a_formula() -> None:
    bad = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"]
    text = csv_text([day(key, key, requests=7) for key in bad], head=True)
    head, *lines = csv.reader(io.StringIO(text))
    assert tuple(head) == CSV_HEAD
    assert len(lines) == len(bad)
    for line, key in zip(lines, bad, strict=True):
        assert len(line) == len(head)
        assert line[1:4] == [f"'{key}", f"'{key}", "7"]
        assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in line)
