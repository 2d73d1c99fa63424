import math
import random
from collections import Counter

import pytest

from inference_client.routing import Route

PATIENTS = [f"patient-{number}-{random.Random(20).random()}" for number in range(5000)]


def answered_by(route: Route, model: str = "m") -> dict[str, str]:
    return {patient: route.pick(model, patient) for patient in PATIENTS}


def within_binomial_bounds(found: int, of: int, share: float) -> bool:
    """Four standard deviations: once in 16 000 draws would chance leave them, and these keys are fixed."""
    return abs(found - of * share) <= 4 * math.sqrt(of * share * (1 - share))


@pytest.mark.parametrize("share", [1, 10, 50, 99])
def test_a_canary_answers_its_share_of_the_keys(share: int) -> None:
    found = Counter(answered_by(Route({"1": 100 - share, "2": share})).values())
    assert within_binomial_bounds(found["2"], len(PATIENTS), share / 100)
    assert found["1"] + found["2"] == len(PATIENTS)


def test_three_versions_share_the_keys() -> None:
    found = Counter(answered_by(Route({"1": 60, "9": 30, "10": 10})).values())
    for version, share in {"1": 0.6, "9": 0.3, "10": 0.1}.items():
        assert within_binomial_bounds(found[version], len(PATIENTS), share)


def test_the_same_key_meets_the_same_version_while_a_canary_grows() -> None:
    before, after = answered_by(Route({"1": 90, "2": 10})), answered_by(Route({"1": 70, "2": 30}))
    assert all(after[patient] == "2" for patient, version in before.items() if version == "2")
    assert before == answered_by(Route({"2": 10, "1": 90}))  # the order in which they are written is no matter


def test_not_the_same_keys_go_first_in_the_next_canary_or_another_model() -> None:
    first = {patient for patient, version in answered_by(Route({"1": 90, "2": 10})).items() if version == "2"}
    following = {patient for patient, version in answered_by(Route({"2": 90, "3": 10})).items() if version == "3"}
    other = {patient for patient, version in answered_by(Route({"1": 90, "2": 10}), "n").items() if version == "2"}
    for later in (following, other):
        assert within_binomial_bounds(len(first & later), len(first), 0.1)


def test_one_version_answers_all_and_a_share_of_nothing_nobody() -> None:
    route = Route({"1": 0, "2": 100})
    assert set(answered_by(route).values()) == {"2"}
    assert (route.main, route.serving) == ("2", {"2": 100})
    assert Route({"1": 50, "2": 50}).main == "1"


def test_a_share_of_the_requests_is_copied_but_none_that_the_shadow_answered() -> None:
    route = Route({"1": 100}, "2", 25)
    copied = sum(route.copies("m", patient, "1") for patient in PATIENTS)
    assert within_binomial_bounds(copied, len(PATIENTS), 0.25)
    assert not any(route.copies("m", patient, "2") for patient in PATIENTS)
    assert not any(Route({"1": 100}).copies("m", patient, "1") for patient in PATIENTS)


@pytest.mark.parametrize("shares", [{}, {"1": 99}, {"1": 101}, {"1": 110, "2": -10}])
def test_shares_that_are_not_a_hundred_together_are_refused(shares: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="100 together"):
        Route(shares)
