"""Letterboxed pictures: where they stand in the tensor, what is beside them, and the way back to the file's pixels."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from gateway.ingest.decode import decode
from gateway.ingest.frames import FrameSelection
from gateway.ingest.image import StoredSize
from gateway.ingest.upload import Upload
from gateway.models.spec import InputSpec
from gateway.preprocess.placement import Placement
from gateway.preprocess.tensor import PADDING, to_tensor
from gateway.settings import IngestSettings
from tests.support import deid

YOLO = InputSpec(640, 640, "letterbox")
ORIENTATIONS = range(1, 9)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return deid.engine(folder=tmp_path_factory.mktemp("policy"))


@pytest.mark.parametrize(
    ("frame", "place"),
    [
        ((640, 640), (0, 0, 640, 640)),
        ((320, 640), (0, 160, 640, 320)),
        ((1200, 800), (106, 0, 427, 640)),
        ((100, 50), (160, 0, 320, 640)),  # enlarged
        ((4000, 3), (319, 0, 1, 640)),  # never thinner than a pixel
        ((640, 639), (0, 0, 639, 640)),  # an odd pixel is on the right
    ],
)
def test_the_picture_keeps_its_aspect_ratio_in_the_middle(frame, place):
    at = Placement.of(frame, YOLO, None)
    assert (at.left, at.top, at.width, at.height) == place
    assert at.stored == StoredSize(*frame)


def test_the_tensor_is_grey_beside_the_picture(engine):
    frame = np.full((200, 400), 250, np.uint8)
    tensor = to_tensor(engine.deidentify(deid.image(frames=[frame]), tenant="a"), YOLO)
    array = tensor.array[0]
    assert (array[160:480] == 250).all()
    assert (array[:160] == PADDING).all()
    assert (array[480:] == PADDING).all()
    assert tensor.placements == (Placement(0, 160, 640, 320, StoredSize(200, 400)),)


def test_a_squashed_picture_fills_the_tensor_and_finds_its_way_back():
    at = Placement.of((100, 300), InputSpec(), None)
    assert at.to_stored(np.array([[0, 0, 224, 224], [112, 56, 56, 112]], float)).tolist() == [
        [0, 0, 300, 100],
        [75, 25, 150, 50],
    ]


def test_boxes_are_cut_to_the_picture():
    at = Placement.of((320, 640), YOLO, StoredSize(1000, 2000))
    boxes = np.array([[-50, 100, 320, 320], [0, 0, 640, 150], [600, 300, 900, 900]], float)
    assert at.to_stored(boxes).tolist() == [[0, 0, 1000, 500], [0, 0, 2000, 0], [1875, 437.5, 2000, 1000]]


@pytest.mark.parametrize("media", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_box_of_a_turned_file_is_given_in_the_files_own_rows_and_columns(engine, media, orientation):
    """Rendering turns it upright, and decodes the JPEG at half its size."""
    stored = np.zeros((1600, 2400), np.uint8)
    left, top, right, bottom = 300, 200, 900, 440
    stored[top:bottom, left:right] = 255
    buffer, exif = BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(buffer, media, exif=exif)
    image = decode(Upload(buffer.getvalue(), None), FrameSelection(), IngestSettings())
    assert image.stored == StoredSize(1600, 2400, orientation)
    tensor = to_tensor(engine.deidentify(image, tenant="a"), YOLO)
    rows, columns = np.nonzero(tensor.array[0, :, :, 0] > 180)
    upright = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], float)
    (box,) = tensor.placements[0].to_stored(upright)
    assert np.abs(box - (left, top, right, bottom)).max() <= 2400 / 640  # a pixel of the tensor
