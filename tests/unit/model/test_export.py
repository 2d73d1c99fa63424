"""``cordon model export`` on checkpoints of random numbers, against the same network written in NumPy."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from gateway.cli.model import app
from gateway.modelkit.artefact import check, export
from gateway.modelkit.resnet50 import build
from gateway.modelkit.weights import read_state_dict
from tests.support.resnet import forward, state_dict, write_pth

LABELS = ("cat", "dog", "axolotl", "horse", "newt")


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    return state_dict(len(LABELS))


@pytest.fixture(scope="module")
def folder(state: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made through the command, from a safetensors file."""
    place = tmp_path_factory.mktemp("export")
    save_file(state, place / "w.safetensors")
    (place / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    arguments = ["export", "--weights", "w.safetensors", "--labels", "labels.txt", "--out", "models", "--name", "pets"]
    before = Path.cwd()
    try:
        os.chdir(place)
        result = CliRunner().invoke(app, arguments)
    finally:
        os.chdir(before)
    assert result.exit_code == 0, result.output
    assert "axolotl" in result.output
    return place / "models" / "pets"


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (1, 224, 224, 3), np.uint8)


def test_logits_are_those_of_the_network_itself(folder: Path, state: dict[str, np.ndarray], images: np.ndarray) -> None:
    wanted = forward(state, images.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": images})
    assert np.ptp(wanted) > 1
    assert np.abs(found - wanted).max() < 1e-3 * np.abs(wanted).max()


def test_the_stride_of_a_stage_sits_in_its_three_by_three_convolution(folder: Path) -> None:
    graph = onnx.load(folder / "1" / "model.onnx").graph
    strided = {
        node.name
        for node in graph.node
        if node.op_type == "Conv" and list(next(a.ints for a in node.attribute if a.name == "strides")) == [2, 2]
    }
    stages = {f"layer{stage}.0.{part}" for stage in (2, 3, 4) for part in ("conv2", "downsample.0")}
    assert strided == {"conv1", *stages}


def test_the_folder_passes_its_own_check_and_has_any_number_of_labels(folder: Path) -> None:
    manifest = check(folder)
    assert (manifest.name, manifest.classes) == ("pets", 5)
    result = CliRunner().invoke(app, ["check", str(folder)])
    assert result.exit_code == 0, result.output


def test_any_batch_size_is_taken(folder: Path, images: np.ndarray) -> None:
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": np.repeat(images, 3, axis=0)})
    assert logits.shape == (3, 5)


def test_imagenet_normalisation_can_stand_in_the_graph(state: dict[str, np.ndarray], images: np.ndarray) -> None:
    from gateway.modelkit.front import add_uint8_front

    model = add_uint8_front(build(state, 5), normalize="imagenet")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": images})
    scaled = (images.astype(np.float32) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    wanted = forward(state, scaled.transpose(0, 3, 1, 2).astype(np.float32))
    assert np.abs(found - wanted).max() < 1e-3 * np.abs(wanted).max()


def test_a_changed_label_file_fails_the_check(folder: Path) -> None:
    labels = folder / "labels.txt"
    before = labels.read_bytes()
    try:
        labels.write_text("dog\ncat\naxolotl\nhorse\nnewt\n")
        result = CliRunner().invoke(app, ["check", str(folder)])
    finally:
        labels.write_bytes(before)
    assert result.exit_code == 1
    assert "labels.txt" in result.output


def test_a_label_order_that_fits_the_manifest_but_not_the_metadata_fails_the_check(folder: Path) -> None:
    from gateway.modelkit.manifest import digest

    labels, manifest = folder / "labels.txt", folder / "manifest.json"
    before = labels.read_bytes(), manifest.read_bytes()
    try:
        labels.write_text("dog\ncat\naxolotl\nhorse\nnewt\n")
        listed = json.loads(before[1])
        listed["files"]["labels.txt"] = digest(labels).model_dump()
        manifest.write_text(json.dumps(listed))
        with pytest.raises(ValueError, match="not the label order"):
            check(folder)
    finally:
        labels.write_bytes(before[0])
        manifest.write_bytes(before[1])


def test_an_existing_model_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(ValueError, match="exists"):
        export(folder / "1" / "model.onnx", LABELS, folder.parent, "pets")


def test_a_failed_export_leaves_nothing(tmp_path: Path, state: dict[str, np.ndarray]) -> None:
    save_file({name: value for name, value in state.items() if name != "fc.bias"}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"fc\.bias is missing"):
        export(tmp_path / "w.safetensors", LABELS, tmp_path / "models", "pets")
    assert not list(tmp_path.glob("models/*"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fc.weight": np.zeros((4, 2048), np.float32)}, r"fc\.weight has shape \[4, 2048\], not \[5, 2048\].*labels"),
        ({"conv1.weight": np.zeros((64, 1, 7, 7), np.float32)}, r"conv1\.weight has shape"),
        ({"conv1.bias": np.zeros(64, np.float32)}, r"1 tensors are not part .* conv1\.bias"),
        ({"bn1.running_var": np.full(64, -1, np.float32)}, "negative"),
        ({"bn1.weight": np.full(64, np.nan, np.float32)}, "not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_named(state: dict[str, np.ndarray], change: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        build(state | change, 5)


def test_an_onnx_classifier_whose_classes_are_in_another_order_is_refused(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "1" / "model.onnx")
    # As a user would have it: without the uint8 front.
    inner = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(["input"], ["logits"])
    inner.metadata_props.add(key="classes", value=json.dumps(LABELS))
    onnx.save(inner, tmp_path / "m.onnx")
    assert export(tmp_path / "m.onnx", LABELS, tmp_path / "models", "same").is_dir()
    with pytest.raises(ValueError, match="the order matters"):
        export(tmp_path / "m.onnx", LABELS[::-1], tmp_path / "models", "other")


class TestPth:
    """A ``.pth`` is read without running it."""

    def test_tensors_of_every_kind_come_back(self, tmp_path: Path) -> None:
        state = {
            "a": np.arange(6, dtype=np.float32).reshape(2, 3),
            "b": np.arange(6, dtype=np.float16).reshape(2, 3).T,
            "c": np.array(7, np.int64),
            "d": np.zeros((0, 3), np.float64),
        }
        found = read_state_dict(write_pth(tmp_path / "w.pth", state))
        assert all(np.array_equal(found[name], value) for name, value in state.items())
        assert found["b"].shape == (3, 2)

    @pytest.mark.parametrize("wrapper", ["state_dict", "model"])
    def test_a_training_checkpoint_is_unwrapped(self, tmp_path: Path, wrapper: str) -> None:
        state = {wrapper: {"module.a": np.ones(2, np.float32)}, "epoch": 3}
        assert list(read_state_dict(write_pth(tmp_path / "w.pth", state))) == ["a"]

    @pytest.mark.parametrize("payload", ["os.system", "builtins.eval", "torch.load", "torch.nn.modules.conv.Conv2d"])
    def test_a_pickle_that_names_anything_else_is_refused_unrun(self, tmp_path: Path, payload: str) -> None:
        module, name = payload.rsplit(".", 1)
        marker = tmp_path / "ran"
        raw = (
            b"\x80\x02" + f"c{module}\n{name}\n".encode() + b"X" + len(f"touch {marker}").to_bytes(4, "little")
        ) + f"touch {marker}".encode()
        raw += b"\x85R."
        with pytest.raises(ValueError, match="more than tensors"):
            read_state_dict(write_pth(tmp_path / "w.pth", {}, raw=raw))
        assert not marker.exists()

    def test_the_payload_of_that_test_would_have_run(self, tmp_path: Path) -> None:
        marker = tmp_path / "ran"
        command = f"touch {marker}".encode()
        raw = b"\x80\x02cos\nsystem\nX" + len(command).to_bytes(4, "little") + command + b"\x85R."
        pickle.loads(raw)
        assert marker.exists()

    @pytest.mark.parametrize(
        ("name", "data", "reason"),
        [
            ("w.pth", b"not a zip", "zip-format"),
            ("w.bin", b"", r"\.safetensors, \.pth or \.pt"),
            ("w.safetensors", b"\xff" * 64, "safetensors"),
        ],
    )
    def test_other_files_are_refused(self, tmp_path: Path, name: str, data: bytes, reason: str) -> None:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=reason):
            read_state_dict(tmp_path / name)

    def test_things_that_are_not_tensors_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="not tensors"):
            read_state_dict(write_pth(tmp_path / "w.pth", {"a": np.ones(2, np.float32), "b": "text"}))

    def test_compressed_storages_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="compressed"):
            read_state_dict(write_pth(tmp_path / "w.pth", {"a": np.zeros(1000, np.float32)}, compress=True))

    def test_a_damaged_pickle_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"w\.pth"):
            read_state_dict(write_pth(tmp_path / "w.pth", {}, raw=b"\x80\x02}q\x00("))
