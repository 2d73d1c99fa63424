from __future__ import annotations

from pathlib import Path

import pytest

from gateway.admission.plans import Plans, Window
from gateway.admission.server_clock import LATE_US, SHARP_US, SLEW
from gateway.errors import Forbidden, InvalidParameter

SHIPPED = Path(__file__).resolve().parents[3] / "policies" / "plans.yaml"

MINIMAL = """
plans:
  small:
    windows:
      - {name: burst, limit: 5, seconds: 1}
      - {name: day, limit: 100, seconds: 86400}
    concurrency: 2
"""


def load(folder: Path, text: str) -> Plans:
    path = folder / "plans.yaml"
    path.write_text(text, encoding="utf-8")
    return Plans.load(path)


def test_a_plan_is_read_as_written(tmp_path: Path) -> None:
    plan = load(tmp_path, MINIMAL)["small"]
    assert [(window.name, window.limit, window.seconds) for window in plan.windows] == [
        ("burst", 5, 1),
        ("day", 100, 86400),
    ]
    assert (plan.concurrency, plan.shadow, plan.unlimited) == (2, False, False)


@pytest.mark.parametrize("seconds", [0.2, 1, 7, 60, 3600, 86400, 604800])
def test_sub_buckets_together_are_never_shorter_than_the_window(seconds: float) -> None:
    window = Window(name="w", limit=1, seconds=seconds)
    unnoticed = (
        LATE_US + SHARP_US + round(SLEW * seconds * 1_000_000)
    )  # by what clocks may be wrong without being noticed
    assert 0 <= window.buckets * window.bucket_us - seconds * 1_000_000 - unnoticed <= window.buckets


def test_an_unknown_plan_is_refused_and_not_unlimited(tmp_path: Path) -> None:
    plans = load(tmp_path, MINIMAL)
    assert "large" not in plans
    with pytest.raises(Forbidden):
        plans["large"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("limit: 5", "limit: 0"), "limit"),
        (("limit: 5", "limit: 5.5"), "limit"),
        (("limit: 5", 'limit: "5"'), "limit"),
        (("limit: 5", "limit: true"), "limit"),
        (("limit: 5, ", ""), "limit"),
        (("seconds: 1}", "seconds: 0}"), "seconds"),
        (("seconds: 1}", "seconds: 0.5}"), "burst"),
        (("seconds: 1}", "seconds: .inf}"), "seconds"),
        (("name: burst", "name: day"), "different names"),
        (("name: burst", "name: inflight"), "inflight"),
        (("name: burst", 'name: "a;b"'), "name"),
        (("seconds: 86400", "seconds: 1"), "different lengths"),
        (("concurrency: 2", "concurency: 2"), "concurency"),
        (("concurrency: 2", "concurrency: 0"), "concurrency"),
        (("concurrency: 2", 'shadow: "no"'), "shadow"),
        (("  small:", "  Small Plan:"), "Small Plan"),
    ],
)
def test_a_fault_in_the_file_stops_the_start_and_is_named(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    assert change[0] in MINIMAL
    with pytest.raises(ValueError, match=named) as refused:
        load(tmp_path, MINIMAL.replace(*change, 1))
    assert "plans.yaml" in str(refused.value)


def test_only_the_internal_plan_is_unlimited_as_shipped() -> None:
    plans = Plans.load(SHIPPED)
    assert {name for name in plans if plans[name].unlimited} == {"unlimited-internal"}
    assert not any(plans[name].shadow for name in plans)


def test_limits_of_a_keys_own_take_the_place_of_the_plans_and_of_nothing_else() -> None:
    plans = Plans.load(SHIPPED)
    own = plans.of("standard", (("inflight", 16), ("minute", 600)))
    assert {window.name: window.limit for window in own.windows} == {"burst": 20, "minute": 600, "day": 50_000}
    assert [window.seconds for window in own.windows] == [window.seconds for window in plans["standard"].windows]
    assert own.concurrency == 16
    assert plans["standard"].concurrency == 8
    assert plans.of("standard", ()) is plans["standard"]
    # The same object each time: the limiter tells by it whether a refusal that it remembers is of this plan.
    assert plans.of("standard", (("inflight", 16), ("minute", 600))) is own


def test_a_limit_whose_window_the_plan_lost_makes_no_key_unlimited() -> None:
    plans = Plans.load(SHIPPED)
    assert plans.of("admin", (("day", 5), ("hour", 7))) == plans["admin"]
    assert plans.of("unlimited-internal", (("minute", 5), ("inflight", 1))).unlimited
    with pytest.raises(Forbidden):
        plans.of("gone", (("minute", 5),))


@pytest.mark.parametrize(
    ("name", "limits", "parameter"),
    [
        ("gone", (), "plan"),
        ("standard", (("hour", 5),), "limits"),
        ("standard", (("minute", 0),), "limits"),
        ("standard", (("minute", 10**9 + 1),), "limits"),
        ("standard", (("inflight", 100_001),), "limits"),
        ("unlimited-internal", (("inflight", 5),), "limits"),
    ],
)
def test_what_a_key_cannot_be_given(name: str, limits: tuple[tuple[str, int], ...], parameter: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        Plans.load(SHIPPED).check(name, limits)
    assert refused.value.members == {"parameter": parameter}
