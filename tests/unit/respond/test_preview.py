"""What is shown of an image is what the model was given, and nothing that was not sanitized can be shown."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from gateway.ingest.image import StoredSize
from gateway.models.spec import InputSpec
from gateway.preprocess.placement import Placement
from gateway.respond.preview import MOST, SIDE, look_at
from tests.support import deid
from tests.support.planted_text import plant


@pytest.fixture(scope="module")
def engine():
    return deid.engine()


def _picture(size=(256, 256)):
    planted = plant("ct", 1, size, 14)
    assert planted is not None
    return planted.picture


def test_it_is_the_sanitized_frame_with_its_masks(engine):
    picture = _picture()
    sanitized = engine.deidentify(deid.image(frames=[picture]), tenant="t")
    [seen] = look_at(sanitized)
    shown = np.asarray(Image.open(io.BytesIO(seen.png)))
    assert (shown == sanitized.frames[0]).all()
    assert (shown != picture).any()
    assert seen.masks
    inside = np.zeros(picture.shape, bool)
    for outline in seen.masks:
        xs, ys = zip(*outline, strict=True)
        inside[min(ys) : max(ys) + 1, min(xs) : max(xs) + 1] = True
    assert not (shown != picture)[~inside].any()  # nothing is changed outside of what is outlined


def test_some_frames_of_many_and_none_too_large(engine):
    frames = [np.full((900, 1300), level, np.uint8) for level in range(0, 90, 10)]
    seen = look_at(engine.deidentify(deid.image(frames=frames), tenant="t"))
    assert [each.number for each in seen] == [1, 4, 6, 9]
    assert len(seen) == MOST
    assert {Image.open(io.BytesIO(each.png)).size for each in seen} == {(SIDE, 443)}
    assert not any(each.masks for each in seen)


def test_a_picture_has_no_metadata(engine):
    [seen] = look_at(engine.deidentify(deid.image(frames=[_picture()]), tenant="t"))
    assert Image.open(io.BytesIO(seen.png)).info == {}


def test_nothing_else_is_shown():
    with pytest.raises(TypeError, match="SanitizedImage"):
        look_at(deid.image(frames=[_picture()]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_finds_its_place_in_the_picture_again(orientation):
    turned = orientation > 4
    stored = StoredSize(200, 100, orientation)
    shape = (100, 200) if turned else (200, 100)
    place = Placement.of(shape, InputSpec(height=64, width=64, resize="letterbox"), stored)
    inner = place.left + place.width * 0.25, place.top + place.height * 0.5
    box = np.array([[*inner, place.left + place.width * 0.75, place.top + place.height * 0.9]])
    assert place.from_stored(place.to_stored(box)) == pytest.approx(box)
