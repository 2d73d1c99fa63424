"""The 120 brain MRI pictures hold no print: nothing is masked, and what the model says stays what it was."""

from __future__ import annotations

import csv

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from gateway.models.spec import InputSpec
from gateway.preprocess.tensor import to_tensor
from tests.support import deid
from tests.support.planted_text import draw, words

MRI, MODEL = deid.SHARED / "data" / "mri", deid.SHARED / "model" / "resnet50_brain_mri.onnx"
pytestmark = [
    pytest.mark.skipif(not (MRI / "labels.csv").is_file(), reason="the labelled brain MRI pictures are not here"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def cleaned():
    with (MRI / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    engine = deid.engine(look=True)
    pictures = [np.asarray(Image.open(MRI / row["file"]).convert("RGB")) for row in rows]
    clean = [engine.deidentify(deid.image(frames=[picture]), tenant="a") for picture in pictures]
    return rows, clean, pictures


def test_nothing_is_masked(cleaned):
    rows, clean, pictures = cleaned
    assert len(rows) == 120
    for row, one, picture in zip(rows, clean, pictures, strict=True):
        assert (to_tensor(one, InputSpec()).array[0] == picture).all(), row["file"]
    assert {
        row["file"]: one.report.masked_share for row, one in zip(rows, clean, strict=True) if one.report.regions_masked
    } == {}


@pytest.mark.skipif(not MODEL.is_file(), reason="the model is not here")
def test_the_answers_are_those_of_the_bare_model(cleaned):
    """Every fourth picture: all tensors are equal to the plain pictures, as the test above shows."""
    rows, clean, _ = cleaned
    rows, array = rows[::4], np.concatenate([to_tensor(one, InputSpec()).array for one in clean[::4]])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
    labels = ("Glioma", "Meningioma", "Pituitary", "No Tumor")
    for start in range(0, len(rows), 8):
        batch = array[start : start + 8].transpose(0, 3, 1, 2).astype(np.float32) / 255
        (logits,) = session.run(None, {"input": batch})
        odds = np.exp(logits - logits.max(1, keepdims=True))
        odds /= odds.sum(1, keepdims=True)
        for row, answer in zip(rows[start : start + 8], odds, strict=True):
            assert labels[answer.argmax()] == row["onnx_prediction"], row["file"]
            assert abs(answer.max() - float(row["onnx_confidence"])) <= 0.01, row["file"]


def test_print_on_a_real_picture_is_covered():
    engine = deid.engine(look=True)
    missed = []
    for seed, path in enumerate(sorted(MRI.glob("*.jpg"))[::10]):
        picture = np.array(Image.open(path).convert("L"))
        rng = np.random.default_rng(seed)
        ink = draw(rng, words(rng), 9, "freetype") > 100
        top, left = (
            int(rng.integers(1, side - length - 1)) for side, length in zip(picture.shape, ink.shape, strict=True)
        )
        window = picture[top : top + ink.shape[0], left : left + ink.shape[1]]
        window[ink] = 255
        (frame,) = engine.deidentify(deid.image(frames=[picture]), tenant="a").frames
        if (frame[top : top + ink.shape[0], left : left + ink.shape[1]][ink] == 0).mean() < 0.9:
            missed.append(path.name)
    assert missed == []
