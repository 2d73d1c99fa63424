"""Every event has words; a request's story says what its records say and nothing else."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest

from gateway.audit.events import EVENT_TYPES
from gateway.console.lines import line
from gateway.console.telling import story

WHEN = "2026-01-31T12:00:00.000000Z"
STARTED = {"type": "request.started", "time": WHEN, "actor": "key_1", "tenant": "st-mary", "route": "POST /v1/predict",
           "address": "192.0.2.1"}  # fmt: skip
FINISHED = {
    "type": "request.finished", "time": WHEN, "actor": "key_1", "tenant": "st-mary", "route": "POST /v1/predict",
    "outcome": "success", "status": 200, "problem": "", "media_type": "application/dicom", "input_digest": "aa",
    "tensor_digest": "bb", "output_digest": "", "replay_of": "", "patient": "PSEUDONYM", "model": "resnet",
    "model_version": "1", "model_digest": "cc", "prediction": "Glioma",
    "deidentification": {"policy": "basic", "policy_digest": "dd", "methods": ["113100"], "actions": {"removed": 31},
                         "groups": {"0010": 9}, "frames_looked_at": 1, "regions_masked": 2},
    "milliseconds": {"infer": 70, "deid": 30, "something-new": 1},
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_every_event_has_a_line(kind):
    made = {
        "str": "text",
        "int": 1,
        "bool": True,
        "tuple[str, ...]": ("one", "two"),
        "dict[str, str]": {"name": "value"},
    }
    event = EVENT_TYPES[kind](**{each.name: made.get(str(each.type), "text") for each in fields(EVENT_TYPES[kind])})
    said = line(asdict(event) | {"type": kind})
    assert said
    assert "{" not in said
    assert not said.endswith(".")


def test_an_event_of_a_later_version_has_a_line_too():
    assert line({"type": "moon.landed"}) == "Moon landed"


def test_a_request_is_told_in_the_order_of_its_steps():
    chapters = story([STARTED, FINISHED])
    assert [each.title for each in chapters] == ["Admitted", "Read", "De-identified", "Asked the model", "Answered"]
    told = " ".join(each.text for each in chapters)
    for said in ("key_1", "from 192.0.2.1", "31 removed", "2 regions masked", "It said: Glioma", "The answer was 200"):
        assert said in told
    assert chapters[-1].bars == (("De-identification", 30), ("The model", 70), ("Something new", 1))
    assert ("Patient's pseudonym", "PSEUDONYM") in chapters[1].facts


def test_a_refused_request_is_told_as_refused():
    refused = {**FINISHED, "outcome": "refused", "status": 415, "problem": "unsupported-media-type", "input_digest": "",
               "deidentification": {}, "model": "", "prediction": "", "milliseconds": {}}  # fmt: skip
    [chapter] = story([refused])
    assert chapter.tone == "warn"
    assert chapter.text == "The request was refused with 415, problem unsupported-media-type."
    [failed] = story([{**refused, "outcome": "failed", "status": 503, "problem": "model-unavailable"}])
    assert failed.tone == "bad"


def test_an_answer_given_again_names_the_first():
    [*_, last] = story([{**FINISHED, "replay_of": "the-first-one"}])
    assert "the request the-first-one, given again" in last.text
