"""A model gets what it was made for, or the caller is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import WrongBodyPart, WrongModality
from gateway.models.spec import InputSpec, ModelSpec
from gateway.preprocess.fitness import check_fitness

ALL = ModelSpec("brain", "1", "0" * 64, ("a", "b"), InputSpec())


@pytest.mark.parametrize("modality", ["MR", None, "CT"])
@pytest.mark.parametrize("part", ["HEAD", None])
def test_a_model_without_modalities_and_body_parts_takes_all(modality, part):
    assert check_fitness(modality, part, ALL) == ()


def model(kind: str, *terms: str, other: str = "refuse") -> ModelSpec:
    names = {"modality": ("modalities", "on_other_modality"), "body part": ("body_parts", "on_other_body_part")}[kind]
    return replace(ALL, **{names[0]: frozenset(terms), names[1]: other})


def check(kind: str, found: str | None, spec: ModelSpec) -> tuple[str, ...]:
    return check_fitness(found, None, spec) if kind == "modality" else check_fitness(None, found, spec)


KINDS = pytest.mark.parametrize(
    ("kind", "error"), [("modality", WrongModality), ("body part", WrongBodyPart)], ids=["modality", "part"]
)


@KINDS
def test_the_right_one_needs_no_words(kind, error):
    assert check(kind, "AA", model(kind, "AA", "BB")) == ()


@KINDS
def test_another_is_refused_without_naming_it(kind, error):
    with pytest.raises(error, match=f"{kind} AA, BB only") as caught:
        check(kind, "DOE JANE", model(kind, "BB", "AA"))
    assert "DOE" not in caught.value.detail


@KINDS
def test_or_warned_of_by_policy(kind, error):
    (warning,) = check(kind, "DOE JANE", model(kind, "AA", other="warn"))
    assert f"another {kind} than AA" in warning
    assert "DOE" not in warning


@KINDS
@pytest.mark.parametrize("other", ["refuse", "warn"])
def test_an_unknown_one_is_warned_of(kind, error, other):
    (warning,) = check(kind, None, model(kind, "AA", other=other))
    assert f"does not say its {kind}" in warning
