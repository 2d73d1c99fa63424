"""A detector behind a real Triton: its boxes come back in the rows and columns of the image that was sent."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.detector import picture, running_detector
from tests.support.dicom_files import native

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.embedded.stack import Stack
    from tests.support.gateway import RunningGateway

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def detector(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_detector(stack, tmp_path_factory.mktemp("detector")) as running:
        yield running


def jpeg(array: np.ndarray, orientation: int = 1) -> bytes:
    buffer, exif = BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(array).save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


def answer(detector: RunningGateway, body: bytes, media_type: str) -> dict:
    with detector.client() as client:
        response = client.post("/v1/predict", content=body, headers={"Content-Type": media_type})
    assert response.status_code == 200, response.text
    return response.json()


def boxes(frame: dict) -> dict[str, list[float]]:
    """Label to box, but for the weak label that is on each; every other is found once."""
    sure = [one for one in frame["detections"] if one["label"] != WEAK]
    assert len({one["label"] for one in sure}) == len(sure)
    assert len(frame["detections"]) == 2 * len(sure)
    return {one["label"]: list(one["box"].values()) for one in sure}


def within(found: list[float], planted: tuple[int, ...], pixels: float) -> bool:
    return float(np.abs(np.subtract(found, planted)).max()) <= pixels


FINDING = "finding 80"  # what is very bright; with a second box beside it, and a third of another label on it
OTHER, WEAK = "finding 01", "finding 41"


@pytest.mark.parametrize(
    ("rows", "columns", "rectangle", "orientation"),
    [
        (1800, 2600, (400, 300, 1000, 700), 1),  # decoded at half its size
        (1400, 900, (100, 900, 500, 1300), 6),  # stored lying, shown upright
        (640, 640, (10, 20, 200, 110), 1),
        (200, 300, (50, 60, 120, 160), 1),  # enlarged
    ],
)
def test_boxes_of_a_jpeg_are_in_its_stored_rows_and_columns(detector, rows, columns, rectangle, orientation):
    said = answer(detector, jpeg(picture(rows, columns, rectangle), orientation), "image/jpeg")
    assert said["task"] == "detection"
    assert (said["prediction"], said["confidence"]) == (FINDING, 0.9)
    assert said["image"] == {"rows": rows, "columns": columns}
    (frame,) = said["frames"]
    found = boxes(frame)
    assert set(found) == {FINDING}
    of_the_tensor = max(rows, columns) / 640
    assert within(found[FINDING], rectangle, max(1.0, of_the_tensor)), found


def test_each_frame_of_a_dicom_object_has_its_own_findings(detector):
    first, second = (100, 50, 300, 250), (420, 500, 700, 580)
    frames = np.stack([
        picture(600, 800, first),
        picture(600, 800),
        picture(600, 800, second, first),
    ])  # fmt: skip
    said = answer(detector, native(frames.reshape(-1, 800), rows=600, frames=3), "application/dicom")
    assert said["image"] == {"rows": 600, "columns": 800}
    assert [frame["frame"] for frame in said["frames"]] == [1, 2, 3]
    assert within(boxes(said["frames"][0])[FINDING], first, 1.25)
    assert said["frames"][1] == {"frame": 2, "prediction": "No finding", "confidence": None, "detections": []}
    third = boxes(said["frames"][2])
    assert within(third[FINDING], second, 1.25)
    assert within(third[OTHER], first, 1.25)


def test_print_is_masked_and_the_finding_beside_it_is_still_found(detector):
    """Masked print is black: the detector, which takes all that is bright for a finding, does not see it."""
    rectangle = (500, 600, 900, 800)
    array = picture(1000, 1200, rectangle)
    cv2.putText(array, "DOE^JANE 1961-11-05", (60, 120), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 255, 3, cv2.LINE_AA)
    said = answer(detector, jpeg(array), "image/jpeg")
    assert said["deidentification"]["regions_masked"] >= 1
    found = boxes(said["frames"][0])
    assert within(found[FINDING], rectangle, 2)
