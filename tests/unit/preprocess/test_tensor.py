"""Frames become tensors: shape, order, digest, and nothing but a SanitizedImage gets in."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from gateway.models.spec import InputSpec
from gateway.preprocess.tensor import to_tensor
from tests.support import deid


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    engine = deid.engine(folder=tmp_path_factory.mktemp("policy"))
    return lambda *frames: engine.deidentify(deid.image(frames=list(frames)), tenant="a")


def test_frames_of_any_size_and_kind_are_stacked_in_order(sanitized):
    grey = np.full((40, 90), 10, np.uint8)
    colour = np.dstack([np.full((600, 300), value, np.uint8) for value in (200, 100, 50)])
    tensor = to_tensor(sanitized(grey, colour), InputSpec())
    assert tensor.array.shape == (2, 224, 224, 3)
    assert tensor.array.dtype == np.uint8
    assert tensor.array.flags.c_contiguous
    assert (tensor.array[0] == 10).all()
    assert (tensor.array[1] == [200, 100, 50]).all()
    assert tensor.digest == hashlib.sha256(tensor.array.tobytes()).hexdigest()


def test_a_frame_of_the_right_size_is_passed_as_it_is(sanitized):
    frame = np.random.default_rng(1).integers(0, 256, (224, 224), dtype=np.uint8)
    array = to_tensor(sanitized(frame), InputSpec()).array
    for channel in range(3):
        assert (array[0, :, :, channel] == frame).all()


def test_resizing_is_pillows_bicubic_and_ignores_the_aspect_ratio(sanitized):
    frame = np.random.default_rng(2).integers(0, 256, (300, 500), dtype=np.uint8)
    array = to_tensor(sanitized(frame), InputSpec(height=64, width=32)).array
    plain = np.asarray(Image.fromarray(frame).resize((32, 64), Image.Resampling.BICUBIC))
    assert array.shape == (1, 64, 32, 3)
    assert np.abs(array[0, :, :, 0].astype(int) - plain).mean() < 4


def test_a_model_of_one_channel_gets_luma(sanitized):
    rng = np.random.default_rng(3)
    grey, colour = rng.integers(0, 256, (16, 16), np.uint8), rng.integers(0, 256, (40, 30, 3), np.uint8)
    array = to_tensor(sanitized(grey, colour), InputSpec(height=16, width=16, colour="grey")).array
    assert array.shape == (2, 16, 16, 1)
    np.testing.assert_array_equal(array[0, :, :, 0], grey)
    small = Image.fromarray(colour).resize((16, 16), Image.Resampling.BICUBIC, reducing_gap=3.0)
    luma = np.asarray(small, np.float64) @ (0.299, 0.587, 0.114)  # ITU-R BT.601
    assert np.abs(array[1, :, :, 0] - luma).max() <= 1


def test_the_digest_tells_tensors_apart(sanitized):
    one = to_tensor(sanitized(np.zeros((224, 224), np.uint8)), InputSpec())
    frame = np.zeros((224, 224), np.uint8)
    frame[0, 0] = 1
    assert one.digest != to_tensor(sanitized(frame), InputSpec()).digest


def test_an_identifiable_image_does_not_become_a_tensor():
    with pytest.raises(TypeError, match="SanitizedImage"):
        to_tensor(deid.image(), InputSpec())  # type: ignore[arg-type] - the point of the test
