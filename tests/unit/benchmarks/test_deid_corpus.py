"""The corpus of the de-identification benchmark: varied, reproducible, and as its key says."""

from __future__ import annotations

from collections import Counter, defaultdict
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread

from benchmarks.deid_corpus.build import as_text
from benchmarks.deid_corpus.codes import OptionSet
from benchmarks.deid_corpus.corpus import corpus
from benchmarks.deid_corpus.key import ActionType, actions
from benchmarks.deid_corpus.paths import find
from benchmarks.deid_corpus.score import same_numbers
from benchmarks.deid_corpus.tables import rows, vocabulary

if TYPE_CHECKING:
    from benchmarks.deid_corpus.corpus import Instance


@pytest.fixture(scope="module")
def instances() -> list[Instance]:
    return list(corpus(280))


KINDS = {row["kind"] for row in rows("kinds")}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    first, again, other = (list(corpus(14, seed=seed)) for seed in (1, 1, 2))
    assert [one.data for one in first] == [one.data for one in again]
    assert not {one.data for one in first} & {one.data for one in other}


def test_all_kinds_charsets_and_every_depth_occur(instances: list[Instance]) -> None:
    assert {one.kind for one in instances} == KINDS
    assert len({one.patient.charset for one in instances}) >= 6
    assert {len(fact.path) for one in instances for fact in one.facts} >= {1, 2, 3, 4, 5}
    assert sum(len(one.data) for one in instances) < len(instances) * 50_000


def test_every_fact_stands_in_the_file_where_it_says(instances: list[Instance]) -> None:
    for instance in instances[:56]:
        dataset = dcmread(BytesIO(instance.data))
        for fact in instance.facts:
            element = find(dataset, fact.path)
            # An unknown private element of an implicit VR file is read as UN: its place counts.
            if not fact.private:
                assert element is not None, fact.keyword
                read = as_text(element.value)
                assert read == fact.text or same_numbers(read, fact.text), fact.keyword


def test_patients_have_several_studies_with_one_shift_of_dates_to_find(instances: list[Instance]) -> None:
    studies = defaultdict(set)
    days = defaultdict(set)
    for instance in instances:
        texts = {fact.keyword: fact.text for fact in instance.facts if len(fact.path) == 1}
        studies[instance.patient.number].add(texts["StudyInstanceUID"])
        days[texts["StudyInstanceUID"]].add(texts["StudyDate"])
    assert Counter(len(found) > 1 for found in studies.values())[True] > 8
    assert all(len(found) == 1 for found in days.values())


def test_eponyms_are_kept_when_texts_are_cleaned_and_asked_of_nobody_when_they_are_removed(
    instances: list[Instance],
) -> None:
    eponyms = ("Parkinson", "Cushing", "Graves", "Crohn")
    asked: dict[str, int] = {}
    for options in ("basic", "basic+descriptors"):
        said = OptionSet.parse(options)
        asked[options] = sum(
            action.type is ActionType.TEXT_RETAINED and not action.whole and bool(set(action.expected) & set(eponyms))
            for instance in instances[:56]
            for action in actions(instance, said)
        )
    assert asked["basic"] == 0
    assert asked["basic+descriptors"] > 10


def test_no_person_of_the_corpus_has_the_name_of_an_eponym() -> None:
    words = vocabulary()
    phrases = {word.casefold() for group in words["phrases"].values() for text in group for word in text.split()}
    names = {name.casefold() for group in (*words["people"], words["staff"]) if not group.get("common_words")
             for name in (*group["families"], *group["givens"])}  # fmt: skip
    assert not phrases & names


def test_every_attribute_of_the_key_occurs_in_the_corpus(instances: list[Instance]) -> None:
    occurring = {fact.keyword for one in instances for fact in one.facts}
    above = {keyword for one in instances for fact in one.facts for keyword in fact.above}
    assert {row["keyword"] for row in rows("key")} <= occurring | above


def test_an_option_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match=r"basic\+nonsense"):
        OptionSet.parse("basic+nonsense")
