"""The answer of a detector: boxes in the stored image's pixels, frame by frame; and the two forms of an answer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import TypeAdapter

from gateway.api.describe import ANSWER
from gateway.deid.image import Pseudonyms
from gateway.deid.report import DeidReport
from gateway.errors import BadModelAnswer
from gateway.ingest.image import StoredSize
from gateway.models.spec import NO_FINDING, DetectionSpec, InputSpec, ModelSpec
from gateway.preprocess.placement import Placement
from gateway.respond.answer import PredictAnswer, largest_answer, respond
from gateway.respond.parts import Asked

INPUT = InputSpec(640, 640, "letterbox")
CHEST = ModelSpec("chest", "1", "ab" * 32, ("Nodule", "Effusion"), INPUT, task="detection")
STORED = StoredSize(2000, 1000)
PLACE = Placement.of((1000, 500), INPUT, STORED)


def asked(frames: tuple[int, ...] = (1,), model: ModelSpec = CHEST) -> Asked:
    return Asked(
        model=model,
        model_version="1",
        frame_numbers=frames,
        total_frames=len(frames),
        report=DeidReport("basic", "cd" * 32),
        pseudonyms=Pseudonyms(study="2.25.1", instance="2.25.3"),
        warnings=("mind this",),
        request_id="r-1",
        latency_ms=12.34,
    )


def output(*findings: tuple[int, float, tuple[float, float, float, float]], anchors: int = 50) -> np.ndarray:
    """[6, anchors] of label, score, and centre and size in the tensor."""
    made = np.zeros((6, anchors), np.float32)
    for column, (label, score, place) in enumerate(findings):
        made[:4, column] = place
        made[4 + label, column] = score
    return made


def test_boxes_are_in_the_stored_images_pixels():
    """The picture stands 160 pixels from the left; each of its pixels is 3.125 of the file's."""
    made = respond(output((1, 0.9, (320, 320, 32, 64)))[None], (PLACE,), asked())
    assert made.task == "detection"
    assert (made.prediction, made.confidence, made.latency_ms) == ("Effusion", 0.9, 12.3)
    assert (made.image.rows, made.image.columns) == (2000, 1000)
    ((frame),) = made.frames
    assert frame.detections[0].box.model_dump() == {"x_min": 450, "y_min": 900, "x_max": 550, "y_max": 1100}
    assert (made.id, made.warnings, made.study, made.instance) == ("r-1", ["mind this"], "2.25.1", "2.25.3")


def test_what_lies_in_the_grey_beside_the_picture_is_no_finding():
    made = respond(output((0, 0.9, (80, 320, 100, 100)))[None], (PLACE,), asked())
    assert (made.prediction, made.confidence) == (NO_FINDING, None)
    assert made.frames[0].detections == []


def test_each_frame_has_its_own_findings_and_the_surest_is_at_the_top():
    frames = np.stack([
        output((0, 0.5, (320, 100, 20, 20))),
        output(),
        output((0, 0.4, (320, 100, 20, 20)), (1, 0.8, (320, 400, 40, 40))),
    ])  # fmt: skip
    made = respond(frames, (PLACE,) * 3, asked((2, 3, 9)))
    said = [(frame.frame, frame.prediction, frame.confidence, len(frame.detections)) for frame in made.frames]
    assert said == [(2, "Nodule", 0.5, 1), (3, NO_FINDING, None, 0), (9, "Effusion", 0.8, 2)]
    assert (made.prediction, made.confidence) == ("Effusion", 0.8)


@pytest.mark.parametrize("shape", [(1, 7, 50), (2, 6, 50), (1, 6), (0, 6, 50)])
def test_an_output_that_fits_neither_labels_nor_frames_is_a_defect(shape):
    with pytest.raises(ValueError, match="fits neither"):
        respond(np.zeros(shape, np.float32), (PLACE,), asked(() if shape[0] == 0 else (1,)))


def test_logits_in_place_of_scores_are_a_bad_answer():
    with pytest.raises(BadModelAnswer):
        respond(output((0, 7.5, (320, 320, 32, 64)))[None], (PLACE,), asked())


def test_the_answer_is_told_apart_by_its_task():
    adapter = TypeAdapter(PredictAnswer)
    schema = adapter.json_schema()
    assert set(schema["discriminator"]["mapping"]) == {"classification", "detection"}
    for part in schema["$defs"].values():
        assert all("description" in field or "$ref" in field for field in part["properties"].values())
    made = respond(output((1, 0.9, (320, 320, 32, 64)))[None], (PLACE,), asked())
    assert adapter.validate_json(made.model_dump_json()) == made


def test_the_largest_answer_is_as_large_as_it_may_be():
    model = ModelSpec(
        "chest", "1", "ab" * 32, ("Ä" * 40, "b"), INPUT, task="detection", detection=DetectionSpec(max_detections=300)
    )
    places = [(160 + 8 * (n % 40) + 4, 8 * (n // 40) + 4, 7, 7) for n in range(300)]
    frame = output(*((0, 0.123456 + 0.5, place) for place in places), anchors=300)
    made = respond(np.stack([frame] * 16), (PLACE,) * 16, asked(tuple(range(1, 17)), model))
    assert all(len(one.detections) == 300 for one in made.frames)
    text = json.dumps(made.model_dump_json())
    assert largest_answer([model], 16) / 4 < len(text) <= largest_answer([model], 16)


def test_the_examples_of_the_description_are_such_answers():
    examples = ANSWER["content"]["application/json"]["examples"]
    adapter = TypeAdapter(PredictAnswer)
    assert {name: adapter.validate_python(each["value"]).task for name, each in examples.items()} == {
        "classification": "classification",
        "detection": "detection",
    }
