"""``cordon model export`` of an ONNX detector in the YOLO output layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from gateway.cli.model import app
from gateway.modelkit.artefact import check, export, read_config
from gateway.modelkit.manifest import read_manifest
from gateway.models.catalog import ModelCatalog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LABELS = ("Nodule", "Effusion", "Mass")
POLICY = """
default: chest
models:
  chest:
    task: detection
    versions: {"1": {weight: 100}}
    modalities: [CR, DX]
    on_other_modality: warn
    detection: {confidence_threshold: 0.3}
    input: {height: 64, width: 64, resize: letterbox}
"""


def detector(
    path: Path, side: Sequence[int | str] = (64, 64), *, batch: int | str = "batch", names: str = "", channels: int = 7
) -> Path:
    """A convolution that makes a column of each 32 x 32 pixels."""
    weights = np.random.default_rng(3).normal(0, 0.01, (channels, 3, 32, 32)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "w"], ["map"], strides=[32, 32]),
            helper.make_node("Reshape", ["map", "shape"], ["output0"]),
        ],
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, *side])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [batch, channels, "anchors"])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([0, channels, -1]), "shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if names:
        model.metadata_props.add(key="names", value=names)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made through the command, of a graph that leaves its size open and names its labels, as Ultralytics writes it."""
    place = tmp_path_factory.mktemp("export")
    source = detector(place / "yolo.onnx", ("height", "width"), names=str(dict(enumerate(LABELS))))
    (place / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    made = [*("--weights", source), *("--labels", place / "labels.txt"), *("--out", place / "models")]
    result = CliRunner().invoke(app, ["export", *map(str, made), "--name", "chest", "--size", "64"])
    assert result.exit_code == 0, result.output
    assert "task: detection" in result.output
    return place / "models" / "chest"


def test_boxes_are_those_of_the_network_itself(folder: Path) -> None:
    images = np.random.default_rng(5).integers(0, 256, (3, 64, 64, 3), np.uint8)
    original = onnxruntime.InferenceSession(folder.parents[1] / "yolo.onnx", providers=["CPUExecutionProvider"])
    (wanted,) = original.run(None, {"images": images.transpose(0, 3, 1, 2).astype(np.float32) / 255})
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(["boxes"], {"image": images})
    assert found.shape == (3, 7, 4)
    assert np.abs(found - wanted).max() < 1e-5


def test_manifest_and_configurations_say_what_the_graph_does(folder: Path) -> None:
    manifest = check(folder)
    assert manifest.detects
    assert (manifest.classes, manifest.input.shape, manifest.output.shape) == (
        3,
        ["batch", 64, 64, 3],
        ["batch", 7, "anchors"],
    )
    config = read_config(folder / "configs" / "openvino.pbtxt")
    assert (list(config.output[0].dims), config.output[0].name, config.max_batch_size) == ([7, -1], "boxes", 4)
    assert {sample.batch_size for sample in config.model_warmup} == {1, 4}


def test_the_catalog_offers_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(POLICY)
    spec = ModelCatalog.load(tmp_path / "models.yaml", folder.parent).resolve("chest")
    assert (spec.task, spec.labels, spec.output_shape, spec.input.resize) == ("detection", LABELS, (7, -1), "letterbox")
    assert (spec.detection.confidence_threshold, spec.detection.iou_threshold) == (0.3, 0.45)
    assert spec.digest == read_manifest(folder).weights("1").sha256


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch": 1}, "batch dimension is fixed"),
        ({"side": ("height", "width")}, "--size"),
        ({"names": "{0: 'Effusion', 1: 'Nodule', 2: 'Mass'}"}, "the order matters"),
        ({"channels": 8}, "has 4 classes"),
        ({"channels": 4}, "4 \\+ classes"),
    ],
)
def test_a_detector_that_cannot_be_served_is_named(tmp_path: Path, change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        export(detector(tmp_path / "yolo.onnx", **change), LABELS, tmp_path / "models", "chest")
    assert not (tmp_path / "models" / "chest").exists()


@pytest.mark.parametrize(
    ("replaced", "by", "said"),
    [
        ("task: detection", "task: classification", "detection: the task is another"),
        ("input:", "temperature: 2.0\n    input:", "no temperature"),
        ("confidence_threshold: 0.3", "confidence_threshold: 0", "confidence_threshold"),
    ],
)
def test_a_policy_that_does_not_fit_a_detector_is_refused(
    folder: Path, tmp_path: Path, replaced: str, by: str, said: str
) -> None:
    (tmp_path / "models.yaml").write_text(POLICY.replace(replaced, by))
    with pytest.raises(ValueError, match=said):
        ModelCatalog.load(tmp_path / "models.yaml", folder.parent)


def test_a_label_must_not_say_what_an_empty_answer_says(tmp_path: Path) -> None:
    labels = ("Nodule", "No finding", "Mass")
    export(detector(tmp_path / "yolo.onnx"), labels, tmp_path / "models", "chest")
    (tmp_path / "models.yaml").write_text(POLICY)
    with pytest.raises(ValueError, match="No finding"):
        ModelCatalog.load(tmp_path / "models.yaml", tmp_path / "models")
