"""The instrument that measures de-identification: it must find what is wrong, and nothing where nothing is."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset

from benchmarks.deid_corpus.codes import OptionSet
from benchmarks.deid_corpus.corpus import corpus
from benchmarks.deid_corpus.key import REMOVES, ActionType, actions
from benchmarks.deid_corpus.oracle import oracle
from benchmarks.deid_corpus.output import Output
from benchmarks.deid_corpus.paths import find, parent_of
from benchmarks.deid_corpus.score import Scorer

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.deid_corpus.corpus import Instance
    from benchmarks.deid_corpus.key import Action
    from benchmarks.deid_corpus.score import Score

BASIC = OptionSet("basic")
SHIFTED = OptionSet.parse("basic+dates+descriptors")
KEPT = set(ActionType) - REMOVES


@pytest.fixture(scope="module")
def instances() -> list[Instance]:
    return list(corpus(28, kinds=("CT", "US", "DX", "RTPLAN", "SEG", "SR", "EMR")))


def scored(instances: list[Instance], engine: Callable[[Instance], Output], options: OptionSet = BASIC) -> Score:
    scorer = Scorer(options)
    for instance in instances:
        scorer.add(instance, engine(instance))
    return scorer.finish()


def share(score: Score, kinds: set[ActionType]) -> float:
    return sum(score.correct[kind] for kind in kinds) / sum(score.total[kind] for kind in kinds)


def unchanged(instance: Instance) -> Output:
    return Output(dcmread(BytesIO(instance.data)))


def emptied(_instance: Instance) -> Output:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    return Output(dataset)


@pytest.mark.parametrize(
    "options",
    ["basic", "basic+dates+descriptors", "basic+uids+characteristics+device+institution", "basic+structured+private"],
)
def test_a_faultless_output_gets_every_action_and_leaves_no_identifier(instances: list[Instance], options: str) -> None:
    said = OptionSet.parse(options)
    score = scored(instances, lambda instance: oracle(instance, said), said)
    assert [(failure.action.type, failure.action.where) for failure in score.failures] == []
    if "institution" not in options:
        assert score.leaks == []


def test_an_engine_that_changes_nothing_fails_every_removal(instances: list[Instance]) -> None:
    score = scored(instances, unchanged)
    assert share(score, REMOVES) == 0
    assert share(score, {ActionType.TAG_RETAINED, ActionType.TEXT_NOTNULL}) == 1
    assert share(score, {ActionType.UID_CONSISTENT, ActionType.PATID_CONSISTENT}) == 0
    assert {name for name, _ in score.leaks} == {instance.name for instance in instances}


def test_an_engine_that_deletes_everything_fails_all_that_must_be_kept(instances: list[Instance]) -> None:
    score = scored(instances, emptied)
    kept = {ActionType.TAG_RETAINED, ActionType.TEXT_NOTNULL, ActionType.TEXT_RETAINED, ActionType.PATID_CONSISTENT}
    assert share(score, kept) == 0
    assert share(score, {ActionType.TEXT_REMOVED}) == 1
    assert score.leaks == []


def test_a_refused_instance_fails_all_its_actions(instances: list[Instance]) -> None:
    score = scored(instances[:3], lambda _: Output(None, "NotSanitizable"))
    assert score.correct.total() == 0
    assert score.total.total() > 100
    assert score.refused == {"NotSanitizable": 3}


def plant(
    instance: Instance, options: OptionSet, kind: ActionType, mistake: Callable[[Dataset, Action], None]
) -> Output:
    """A faultless output with one mistake, in the last action of a kind whose element is in the output."""
    output = oracle(instance, options)
    assert output.dataset is not None
    wanted = [action for action in actions(instance, options) if action.type is kind and not action.absent]
    there = [action for action in wanted if parent_of(output.dataset, action.path) is not None]
    mistake(output.dataset, there[-1])
    return output


def drop(dataset: Dataset, action: Action) -> None:
    parent = parent_of(dataset, action.path)
    assert parent is not None
    del parent[action.path[-1].tag]


def empty(dataset: Dataset, action: Action) -> None:
    element = find(dataset, action.path)
    assert element is not None
    element.value = ""


def alter(dataset: Dataset, action: Action) -> None:
    element = find(dataset, action.path)
    assert element is not None
    element.value = "2.25.4711" if element.VR == "UI" else "20991231" if element.VR in ("DA", "DT") else "OTHER"


def restore(dataset: Dataset, action: Action) -> None:
    parent, instance = parent_of(dataset, action.path), restore.instance  # type: ignore[attr-defined]
    source = parent_of(dcmread(BytesIO(instance.data)), action.path)
    assert parent is not None
    assert source is not None
    parent[action.path[-1].tag] = source[action.path[-1].tag]


PLANTED = [
    (ActionType.TAG_RETAINED, BASIC, drop),
    (ActionType.TEXT_NOTNULL, BASIC, empty),
    (ActionType.TEXT_NOTNULL, BASIC, drop),
    (ActionType.TEXT_RETAINED, BASIC, alter),
    (ActionType.TEXT_RETAINED, SHIFTED, empty),
    (ActionType.TEXT_REMOVED, BASIC, restore),
    (ActionType.TEXT_REMOVED, SHIFTED, restore),
    (ActionType.DATE_SHIFTED, BASIC, restore),
    (ActionType.DATE_SHIFTED, SHIFTED, restore),
    (ActionType.DATE_SHIFTED, SHIFTED, alter),
    (ActionType.UID_CHANGED, BASIC, restore),
    (ActionType.UID_CONSISTENT, BASIC, alter),
    (ActionType.PATID_CONSISTENT, BASIC, alter),
    (ActionType.PATID_CONSISTENT, BASIC, restore),
]


@pytest.mark.parametrize(("kind", "options", "mistake"), PLANTED)
def test_one_planted_mistake_is_found_where_it_is(
    instances: list[Instance], kind: ActionType, options: OptionSet, mistake: Callable[[Dataset, Action], None]
) -> None:
    # One of a series of four, so that what must agree with the others does not.
    victim = instances[-1]

    def engine(instance: Instance) -> Output:
        restore.instance = instance  # type: ignore[attr-defined]
        return plant(instance, options, kind, mistake) if instance is victim else oracle(instance, options)

    score = scored(instances, engine, options)
    assert {failure.instance for failure in score.failures} == {victim.name}
    assert kind in {failure.action.type for failure in score.failures}
    assert len({failure.action.where for failure in score.failures}) == 1


def test_two_patients_under_one_pseudonym_are_found(instances: list[Instance]) -> None:
    def engine(instance: Instance) -> Output:
        output = oracle(instance, BASIC)
        assert output.dataset is not None
        output.dataset.PatientID = "ANONYMOUS"
        return output

    assert share(scored(instances, engine), {ActionType.PATID_CONSISTENT}) == 0


def test_one_uid_for_all_is_found(instances: list[Instance]) -> None:
    def engine(instance: Instance) -> Output:
        output = oracle(instance, BASIC)
        assert output.dataset is not None
        output.dataset.SeriesInstanceUID = "2.25.1"
        return output

    score = scored(instances, engine)
    assert {f.action.where for f in score.failures if f.action.type is ActionType.UID_CONSISTENT} == {"(0020,000E)"}


def test_one_date_for_all_is_no_shift(instances: list[Instance]) -> None:
    def engine(instance: Instance) -> Output:
        output = oracle(instance, SHIFTED)
        assert output.dataset is not None
        for action in actions(instance, SHIFTED):
            element = find(output.dataset, action.path)
            if action.type is ActionType.DATE_SHIFTED and element is not None:
                element.value = "19000101" + action.original[8:]
        return output

    score = scored(instances, engine, SHIFTED)
    asked = [action for one in instances for action in actions(one, SHIFTED) if action.expected == ("shifted",)]
    assert len(score.failures) == len(asked) > 100
    assert {failure.action.type for failure in score.failures} == {ActionType.DATE_SHIFTED}


def test_a_private_element_that_is_kept_is_found_though_its_value_changed(instances: list[Instance]) -> None:
    def engine(instance: Instance) -> Output:
        output = oracle(instance, BASIC)
        assert output.dataset is not None
        block = output.dataset.private_block(0x0011, "HARBOUR_RIS 2", create=True)
        block.add_new(0x05, "SH", "something")
        return output

    score = scored(instances, engine)
    assert {failure.action.where for failure in score.failures} == {'(0011,xx05 "HARBOUR_RIS 2")'}


def test_an_identifier_in_an_element_that_the_key_does_not_ask_about_is_a_leak(instances: list[Instance]) -> None:
    instance = next(one for one in instances if not one.patient.common_words)
    output = oracle(instance, BASIC)
    assert output.dataset is not None
    output.dataset.RetrieveURL = f"https://pacs.example/{instance.patient.family.lower()}"
    score = scored([instance], lambda _: output)
    assert score.leaks == [(instance.name, "(0008,1190)")]


@pytest.fixture(scope="module")
def written() -> Instance:
    (instance,) = (one for one in corpus(1, burned_in=True, kinds=("CR",)))
    return instance


def with_pixels(instance: Instance, after: np.ndarray) -> Score:
    before = dcmread(BytesIO(instance.data)).pixel_array
    dataset = oracle(instance, BASIC).dataset
    return scored([instance], lambda _: Output(dataset, "", [before], [after]))


def masked(instance: Instance, value: int, *, width: float = 1.0) -> np.ndarray:
    after = dcmread(BytesIO(instance.data)).pixel_array.copy()
    for line in instance.lines:
        left, top, right, bottom = line.box
        after[top - 3 : bottom + 3, left - 3 : left + round(width * (right - left)) + 3] = value
    return after


def test_burned_in_text_left_as_it_was_is_readable(written: Instance) -> None:
    score = with_pixels(written, dcmread(BytesIO(written.data)).pixel_array)
    assert score.total[ActionType.PIXELS_HIDDEN] == 3
    assert score.correct[ActionType.PIXELS_HIDDEN] == 0
    assert score.correct[ActionType.PIXELS_RETAINED] == 1


@pytest.mark.parametrize("value", [0, 1000, 4095])
def test_masked_text_is_hidden_and_the_rest_retained(written: Instance, value: int) -> None:
    score = with_pixels(written, masked(written, value))
    assert [failure.action.type for failure in score.failures] == []


def test_text_masked_in_part_is_readable(written: Instance) -> None:
    score = with_pixels(written, masked(written, 0, width=0.6))
    assert score.correct[ActionType.PIXELS_HIDDEN] == 0


def test_an_image_blanked_as_a_whole_is_not_retained(written: Instance) -> None:
    score = with_pixels(written, np.zeros((256, 256), np.uint16))
    assert score.correct[ActionType.PIXELS_HIDDEN] == 3
    assert score.correct[ActionType.PIXELS_RETAINED] == 0


def test_a_refused_image_fails_its_pixel_actions_too(written: Instance) -> None:
    score = scored([written], lambda _: Output(None, "NotSanitizable", []))
    assert score.total[ActionType.PIXELS_HIDDEN] == 3
    assert score.correct.total() == 0
