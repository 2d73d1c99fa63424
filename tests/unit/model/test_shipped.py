"""The shipped model: the same as its source, in the order that its labels say, as its manifest lists it."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.utils import Extractor
from PIL import Image

from gateway.modelkit.artefact import TEMPLATES, check, read_config, render
from gateway.modelkit.front import metadata_labels
from gateway.modelkit.manifest import read_labels, read_manifest

ROOT = Path(__file__).resolve().parents[3]
MODEL = ROOT / "model_repository" / "brain_mri_resnet50"
SHARED = ROOT.parent / "shared"
CONFIGS = {
    "config.pbtxt": [1],
    "configs/onnxruntime-cuda.pbtxt": [1],
    "configs/onnxruntime-cpu.pbtxt": [1],
    "configs/onnxruntime-openvino.pbtxt": [1],
    "configs/openvino.pbtxt": [1],
    "configs/openvino-int8.pbtxt": [2],
    "configs/openvino-both.pbtxt": [1, 2],
}
"""Each with the versions that it serves."""


def run(model: Path | bytes, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def floats(images: np.ndarray) -> np.ndarray:
    """What a caller of the original has to do before it."""
    return images.transpose(0, 3, 1, 2).astype(np.float32) / 255


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    random = np.random.default_rng(7)
    smooth = np.linspace(0, 255, 224)[:, None, None] * np.ones((1, 224, 3))
    return np.stack(
        [
            random.integers(0, 256, (224, 224, 3), np.uint8),
            smooth.astype(np.uint8),
            smooth.transpose(1, 0, 2).astype(np.uint8) // np.array([1, 2, 3], np.uint8),
            np.full((224, 224, 3), 255, np.uint8),
        ]
    )


@pytest.fixture(scope="module")
def logits(images: np.ndarray) -> np.ndarray:
    return run(MODEL / "1" / "model.onnx", images)


def test_behind_the_front_stands_the_original(images: np.ndarray, logits: np.ndarray) -> None:
    model = onnx.load(MODEL / "1" / "model.onnx")
    (end_of_front,) = next(node.output for node in model.graph.node if node.name == "front_2_Div")
    original = Extractor(onnx.shape_inference.infer_shapes(model)).extract_model([end_of_front], ["logits"])
    assert "Transpose" not in {node.op_type for node in original.graph.node}
    assert np.abs(run(original.SerializeToString(), floats(images)) - logits).max() < 1e-3
    assert np.ptp(logits, axis=0).min() > 0.1  # the images are told apart: equality is no accident


@pytest.mark.skipif(not SHARED.exists(), reason="the original is kept outside the repository")
def test_logits_equal_those_of_the_file_it_was_made_from(images: np.ndarray, logits: np.ndarray) -> None:
    original = SHARED / "model" / "resnet50_brain_mri.onnx"
    assert hashlib.sha256(original.read_bytes()).hexdigest() == read_manifest(MODEL).source.sha256
    assert np.abs(run(original, floats(images)) - logits).max() < 1e-3


@pytest.mark.skipif(not SHARED.exists(), reason="the labelled images are kept outside the repository")
def test_a_few_labelled_images_get_the_recorded_logits() -> None:
    rows = list(csv.DictReader((SHARED / "data" / "mri" / "labels.csv").read_text().splitlines()))[::15]
    batch = np.stack(
        [
            np.asarray(Image.open(SHARED / "data" / "mri" / row["file"]).convert("RGB").resize((224, 224)))
            for row in rows
        ]
    )
    columns = ("logit_glioma", "logit_meningioma", "logit_pituitary", "logit_no_tumor")
    recorded = np.array([[float(row[column]) for column in columns] for row in rows])
    assert np.abs(run(MODEL / "1" / "model.onnx", batch) - recorded).max() < 1e-3


def test_the_labels_file_has_the_order_of_the_onnx_metadata() -> None:
    session = onnxruntime.InferenceSession(MODEL / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    written = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    assert list(read_labels(MODEL)) == written == ["Glioma", "Meningioma", "Pituitary", "No Tumor"]
    assert metadata_labels(onnx.load(MODEL / "1" / "model.onnx")) == read_labels(MODEL)


def test_digests_labels_graph_and_configurations_agree() -> None:
    assert check(MODEL).classes == 4


def test_all_configurations_promise_the_same_to_a_caller() -> None:
    default, *others = (read_config(MODEL / name) for name in CONFIGS)
    assert default.max_batch_size == 16
    for other in others:
        assert list(other.input) == list(default.input)
        assert list(other.output) == list(default.output)
        assert other.name == default.name
        assert other.max_batch_size == default.max_batch_size


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_batches_bounds_its_queue_and_warms_up(name: str) -> None:
    config = read_config(MODEL / name)
    batching = config.dynamic_batching
    assert list(batching.preferred_batch_size) == [4, 8, 16]
    assert batching.max_queue_delay_microseconds == 1000
    policy = batching.default_queue_policy
    assert policy.TimeoutAction.Name(policy.timeout_action) == "REJECT"
    assert 0 < policy.default_timeout_microseconds <= 10_000_000
    assert policy.allow_timeout_override
    assert policy.max_queue_size >= config.max_batch_size
    assert {sample.batch_size for sample in config.model_warmup} == {1, config.max_batch_size}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_names_the_versions_that_its_runtime_can_load(name: str) -> None:
    config = read_config(MODEL / name)
    served = list(config.version_policy.specific.versions)
    assert served == CONFIGS[name]
    for version in served:
        listed = [file for file in read_manifest(MODEL).files if file.startswith(f"{version}/")]
        assert listed
        assert config.backend == "python" or listed == [f"{version}/{config.default_model_filename}"]
        assert config.backend != "python" or (MODEL / str(version) / config.default_model_filename).is_file()


def test_the_quantized_version_has_its_labels_in_the_same_order() -> None:
    """Its graph says how it was calibrated, and names its classes: a permuted list is a silent misdiagnosis."""
    graph = (MODEL / "2" / "model.xml").read_text()
    assert f'<classes value="{",".join(read_labels(MODEL))}" />' in graph
    assert '<subset_size value="200" />' in graph
    assert (MODEL / "2" / "model.py").read_bytes() == (MODEL / "1" / "model.py").read_bytes()


def test_the_gpu_configurations_make_an_instance_on_every_gpu() -> None:
    """An instance group that names no GPUs is made on each that there is."""
    for name in ("config.pbtxt", "configs/onnxruntime-cuda.pbtxt"):
        (group,) = read_config(MODEL / name).instance_group
        assert (group.count, list(group.gpus)) == (1, [])


def test_the_default_configuration_is_tensorrt_in_half_precision_with_a_kept_engine() -> None:
    config = read_config(MODEL / "config.pbtxt")
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert (config.backend, accelerator.name) == ("onnxruntime", "tensorrt")
    assert accelerator.parameters["precision_mode"] == "FP16"
    assert accelerator.parameters["trt_engine_cache_enable"] == "1"
    assert accelerator.parameters["trt_engine_cache_path"]
    assert int(accelerator.parameters["max_workspace_size_bytes"]) >= 2**30


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_folder_is_what_the_export_writes_today(name: str) -> None:
    assert (MODEL / name).read_text() == render(name, read_manifest(MODEL))


def test_the_card_says_what_must_be_said() -> None:
    card = (MODEL / "MODEL_CARD.md").read_text()
    for fact in ("Not a medical device", "96.5 %", "94.7 to 97.7", "94.7 %", "91.5 to 96.8", "CC BY 4.0", "BSD-2"):
        assert fact in card
