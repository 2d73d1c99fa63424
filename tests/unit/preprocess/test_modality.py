"""A model gets what it was made for, or the caller is told."""

from __future__ import annotations

import pytest

from gateway.catalog import InputSpec, ModelSpec
from gateway.errors import WrongModality
from gateway.preprocess.modality import check_modality


def model(*modalities: str, other: str = "refuse") -> ModelSpec:
    return ModelSpec("brain", "1", "0" * 64, ("a", "b"), InputSpec(), frozenset(modalities), other)  # type: ignore[arg-type] - a literal


@pytest.mark.parametrize("modality", ["MR", None, "CT"])
def test_a_model_without_modalities_takes_all(modality):
    assert check_modality(modality, model()) == ()


def test_the_right_modality_needs_no_words():
    assert check_modality("MR", model("MR", "CT")) == ()


def test_another_modality_is_refused_without_naming_it():
    with pytest.raises(WrongModality, match="CT, MR only") as caught:
        check_modality("XA", model("MR", "CT"))
    assert "XA" not in caught.value.detail


def test_or_warned_of_by_policy():
    (warning,) = check_modality("XA", model("MR", other="warn"))
    assert "MR" in warning
    assert "XA" not in warning


@pytest.mark.parametrize("other", ["refuse", "warn"])
def test_an_unknown_modality_is_warned_of(other):
    (warning,) = check_modality(None, model("MR", other=other))
    assert "does not say its modality" in warning
