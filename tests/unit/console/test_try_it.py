"""What a detector found is drawn where it is in the picture, however large that is shown."""

from __future__ import annotations

import pytest

from gateway.console.pages import Pages
from gateway.console.try_it import _pictures, _removed
from gateway.ingest.image import StoredSize
from gateway.pipeline import Answered
from gateway.preprocess.placement import Placement
from gateway.respond.detection import DetectionAnswer
from gateway.respond.preview import Seen

BOX = {"x_min": 100.0, "y_min": 40.0, "x_max": 300.0, "y_max": 90.0}


def answered(detections: list[dict[str, object]]) -> Answered:
    answer = DetectionAnswer.model_validate(
        {
            "prediction": "nodule" if detections else "No finding",
            "confidence": 0.91 if detections else None,
            "latency_ms": 12.0,
            "task": "detection",
            "image": {"rows": 200, "columns": 400},
            "model": {"name": "chest", "version": "2", "digest": "d" * 64},
            "frames": [
                {
                    "frame": 1,
                    "prediction": "nodule" if detections else "No finding",
                    "confidence": 0.91 if detections else None,
                    "detections": detections,
                }
            ],
            "deidentification": {
                "groups": {"0010": 3, "exif": 5},
                "policy": "basic",
                "policy_digest": "e" * 64,
                "regions_masked": 1,
                "frames_looked_at": 1,
                "text_found": {},
            },
            "warnings": [],
            "id": "request-1",
        }
    )
    outline = ((10, 10), (10, 20), (30, 20), (30, 10))
    seen = Seen(1, b"png", 200, 100, (outline,), Placement(0, 0, 200, 100, StoredSize(200, 400)))
    return Answered(answer, {}, (seen,))


def drawn(one: Answered) -> str:
    template = Pages()._templates.get_template("_tried.html")
    removed = _removed(one.answer.deidentification["groups"])
    return template.render(tried=one.answer, pictures=_pictures(one), removed=removed, home="/console", rights=())


def test_a_finding_stands_where_it_was_found() -> None:
    one = answered([{"label": "nodule", "score": 0.91, "box": BOX}])
    [shown] = _pictures(one)
    assert shown.findings[0].box == pytest.approx((50, 20, 100, 25))
    page = drawn(one)
    assert '<rect class="found" x="50.0" y="20.0" width="100.0" height="25.0"/>' in page
    assert 'points="10,10 10,20 30,20 30,10 "' in page
    assert "91.0 % score" in page
    assert "1 nodule</th>" in page


def test_no_finding_is_said() -> None:
    page = drawn(answered([]))
    assert "Nothing was found" in page
    assert 'class="found"' not in page.split("legend")[0]


def test_the_group_that_lost_most_comes_first_with_what_it_is_about() -> None:
    assert _removed({"0010": 3, "exif": 5, "0099": 1}) == [
        ("exif", "Camera data, perhaps with a place", 5),
        ("0010", "Patient", 3),
        ("0099", "", 1),
    ]
