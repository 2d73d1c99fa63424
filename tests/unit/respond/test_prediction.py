import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gateway.deid.image import Pseudonyms
from gateway.deid.report import DeidReport
from gateway.models.spec import UNCERTAIN, InputSpec, ModelSpec
from gateway.respond.parts import Asked
from gateway.respond.prediction import ClassificationAnswer, classified, softmax

MODEL = ModelSpec("m", "3", "ab" * 32, ("Glioma", "Meningioma", "No Tumor"), InputSpec())


def answer(
    logits: list[list[float]], *, frames: tuple[int, ...] = (1,), total: int = 1, **changed
) -> ClassificationAnswer:
    arguments = {
        "model": MODEL,
        "model_version": "3",
        "frame_numbers": frames,
        "total_frames": total,
        "report": DeidReport("basic", "cd" * 32, actions={"removed": 2}),
        "pseudonyms": Pseudonyms(),
        "warnings": (),
        "request_id": "r-1",
        "latency_ms": 12.3456,
    }
    return classified(np.array(logits, np.float32), Asked(**(arguments | changed)))


def test_the_largest_logit_names_the_prediction() -> None:
    made = answer([[0.0, math.log(3), 0.0]])
    assert made.prediction == "Meningioma"
    assert made.confidence == 0.6
    assert made.probabilities == {"Glioma": 0.2, "Meningioma": 0.6, "No Tumor": 0.2}
    assert list(made.probabilities) == list(MODEL.labels)


def test_a_temperature_softens_the_probabilities_and_leaves_their_order() -> None:
    made = answer([[0.0, 2 * math.log(3), 0.0]], model=replace(MODEL, temperature=2.0))
    assert made.probabilities == {"Glioma": 0.2, "Meningioma": 0.6, "No Tumor": 0.2}


@pytest.mark.parametrize(("least", "said"), [(0.6, "Meningioma"), (0.61, UNCERTAIN)])
def test_a_label_that_is_not_probable_enough_is_not_said(least: float, said: str) -> None:
    made = answer([[0.0, math.log(3), 0.0]], model=replace(MODEL, uncertain_below=least))
    assert made.prediction == said
    assert made.confidence == 0.6
    assert made.probabilities["Meningioma"] == 0.6


def test_a_frame_can_be_uncertain_where_the_whole_is_not() -> None:
    sure, unsure = [0.0, 9.0, 0.0], [0.0, 0.1, 0.0]
    made = answer([sure, sure, unsure], frames=(1, 2, 3), total=3, model=replace(MODEL, uncertain_below=0.5))
    assert [frame.prediction for frame in made.frames] == ["Meningioma", "Meningioma", UNCERTAIN]
    assert made.prediction == "Meningioma"


def test_prediction_confidence_and_latency_come_first() -> None:
    body = json.loads(answer([[1, 2, 3]]).model_dump_json())
    assert list(body)[:3] == ["prediction", "confidence", "latency_ms"]
    assert body["latency_ms"] == 12.3


def test_an_object_of_one_frame_has_no_answers_by_frame() -> None:
    assert answer([[1, 2, 3]]).frames == []


def test_one_frame_out_of_many_says_which() -> None:
    made = answer([[1, 2, 3]], frames=(15,), total=30)
    assert [frame.frame for frame in made.frames] == [15]


def test_the_whole_is_the_mean_of_the_frames_probabilities() -> None:
    # Two frames lean to Glioma, one is sure of No Tumor: a vote would say Glioma, the mean says No Tumor.
    lean, sure = [math.log(0.5), math.log(0.1), math.log(0.4)], [math.log(0.02), math.log(0.01), math.log(0.97)]
    made = answer([lean, lean, sure], frames=(1, 5, 9), total=9)
    assert [frame.prediction for frame in made.frames] == ["Glioma", "Glioma", "No Tumor"]
    assert [frame.frame for frame in made.frames] == [1, 5, 9]
    assert made.prediction == "No Tumor"
    assert made.confidence == pytest.approx((0.4 + 0.4 + 0.97) / 3, abs=1e-5)


def test_the_model_is_named_to_the_byte() -> None:
    made = answer([[1, 2, 3]], model_version="4")
    assert made.model.model_dump() == {"name": "m", "version": "4", "digest": "ab" * 32}


def test_report_warnings_and_pseudonyms_are_passed_on() -> None:
    pseudonyms = Pseudonyms(patient="p", study="2.25.1", series="2.25.2", instance="2.25.3")
    made = answer([[1, 2, 3]], warnings=("mind this",), pseudonyms=pseudonyms)
    assert (made.id, made.warnings, made.study, made.instance) == ("r-1", ["mind this"], "2.25.1", "2.25.3")
    assert made.deidentification["actions"] == {"removed": 2}


def test_every_field_is_described_for_openapi() -> None:
    schema = ClassificationAnswer.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        assert all("description" in field or "$ref" in field for field in part["properties"].values())


@pytest.mark.parametrize(("logits", "frames"), [([[1, 2]], (1,)), ([[1, 2, 3]], (1, 2)), (np.zeros((0, 3)), ())])
def test_logits_that_fit_neither_labels_nor_frames_are_a_defect(logits, frames) -> None:
    with pytest.raises(ValueError, match="fit neither"):
        answer(logits, frames=frames)


@given(arrays(np.float32, (2, 5), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_softmax_holds_for_any_finite_logits(logits: np.ndarray) -> None:
    probabilities = softmax(logits)
    assert np.isfinite(probabilities).all()
    assert (probabilities >= 0).all()
    assert np.allclose(probabilities.sum(axis=-1), 1)
    best = np.take_along_axis(logits, probabilities.argmax(-1, keepdims=True), -1)
    # Logits closer than float64 can tell apart after exp() are equally probable.
    assert (logits.max(-1, keepdims=True).astype(np.float64) - best <= 1e-15).all()
