"""``cordon model export --version``: another version beside the one that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from gateway.cli.model import app
from gateway.modelkit.artefact import check
from gateway.modelkit.manifest import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def tiny(path: Path, seed: int, classes: int = 2) -> Path:
    """An ONNX classifier of the mean colour."""
    rng = np.random.default_rng(seed)
    weights = {"w": rng.normal(size=(3, classes)).astype(np.float32), "b": rng.normal(size=classes).astype(np.float32)}
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 224, 224])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])
    initial = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "tiny", [image], [logits], initial)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.txt").write_text("day\nnight\n")
    assert export(tiny(tmp_path / "one.onnx", 1)).exit_code == 0
    return tmp_path


def export(weights: Path, *more: str, labels: str = "labels.txt") -> Result:
    words = ("export", "--weights", str(weights), "--labels", labels, "--out", "models", "--name", "light", *more)
    return CliRunner().invoke(app, words)


def test_it_is_listed_and_the_other_one_stays_as_it_was(place: Path) -> None:
    folder = place / "models" / "light"
    before = read_manifest(folder)
    done = export(tiny(place / "two.onnx", 2), "--version", "2")
    assert done.exit_code == 0, done.output
    after = check(folder)
    assert after.weights("1") == before.weights("1")
    assert after.weights("2") != before.weights("1")
    assert after.weights("2").sha256 in done.output
    assert (folder / "2" / "model.py").read_bytes() == (folder / "1" / "model.py").read_bytes()
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["1", "2", "configs"]


@pytest.mark.parametrize(
    ("classes", "labels", "version", "why"),
    [
        (2, "day\nnight\n", "1", "exists"),
        (2, "night\nday\n", "2", "not those of"),
        (3, "day\nnight\n", "2", "another input or output"),
    ],
)
def test_what_is_no_other_version_of_it_changes_nothing(
    place: Path, classes: int, labels: str, version: str, why: str
) -> None:
    folder = place / "models" / "light"
    before = sorted(folder.rglob("*")), (folder / "manifest.json").read_bytes()
    (place / "given.txt").write_text(labels)
    done = export(tiny(place / "two.onnx", 2, classes), "--version", version, labels="given.txt")
    assert done.exit_code == 1
    assert why in done.output
    assert (sorted(folder.rglob("*")), (folder / "manifest.json").read_bytes()) == before
