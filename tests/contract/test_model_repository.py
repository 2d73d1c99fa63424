"""What Triton itself does with a model's folder."""

import shutil
from pathlib import Path

import pytest

from gateway.embedded.errors import StartFailed
from gateway.embedded.triton import Triton
from gateway.embedded.triton_environment import TritonEnvironment
from tests.support.stack import ROOT, TRITON_ENVIRONMENT, require_triton

MODEL = ROOT / "model_repository" / "brain_mri_resnet50"


@pytest.mark.stack
def test_triton_does_not_load_weights_that_are_not_the_listed_ones(tmp_path: Path) -> None:
    require_triton()
    copy = tmp_path / "models" / MODEL.name
    shutil.copytree(MODEL, copy)
    weights = copy / "1" / "model.onnx"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1  # one bit of one weight: it loads, runs, and answers, a little wrong
    weights.write_bytes(data)
    triton = Triton(
        TritonEnvironment.find(TRITON_ENVIRONMENT),
        copy.parent,
        folder=tmp_path / "triton",
        cache=tmp_path / "cache",
        log=tmp_path / "triton.log",
    )
    try:
        with pytest.raises(StartFailed):
            triton.wait_ready(60)
    finally:
        triton.stop()
    assert "1/model.onnx: not the file that manifest.json lists" in (tmp_path / "triton.log").read_text()
