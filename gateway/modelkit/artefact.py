"""Beside the steps: writes a model's folder for Triton, and checks one."""

from __future__ import annotations

import json
import tempfile
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import onnx
from google.protobuf import text_format  # type: ignore[import-untyped] # it ships no types
from tritonclient.grpc import model_config_pb2

from gateway.modelkit.front import INPUT, add_uint8_front, classes_of, metadata_labels, output_shape, set_metadata
from gateway.modelkit.manifest import (
    LABELS,
    MANIFEST,
    Manifest,
    SourceFile,
    TensorShape,
    digest,
    read_labels,
    read_manifest,
    verify_files,
)

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

VERSION = "1"
_CLASSIFIERS_BATCHES, _DETECTORS_BATCHES = ("16", "4, 8, 16"), ("4", "2, 4")
"""The largest, and those that are waited for: a detector's image is eight times as large, and its output 2.8 MB."""
_TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}
CONFIGURATIONS = ("onnxruntime-cuda", "onnxruntime-cpu", "onnxruntime-openvino", "openvino")
TEMPLATES = ("config.pbtxt", *(f"configs/{name}.pbtxt" for name in CONFIGURATIONS), f"{VERSION}/model.py")


def export(
    weights: Path,
    labels: tuple[str, ...],
    repository: Path,
    name: str,
    *,
    normalize: str = "none",
    size: int | None = None,
) -> Path:
    """Make ``repository/name`` from a torchvision ResNet-50 checkpoint, or an ONNX classifier or detector.

    Args:
        weights: ``.safetensors``, ``.pth``, ``.pt``, or ``.onnx``; see ``add_uint8_front``.
        labels: The class names in the order of the model's outputs.
        repository: The model repository; made if it is not there.
        name: The model's name; its folder must not exist yet.
        normalize: See ``add_uint8_front``.
        size: Likewise.

    Returns:
        The model's folder. It appears whole or not at all.

    Raises:
        ValueError: The weights do not fit, the labels contradict those in the ONNX metadata, or the folder exists.
    """
    folder = repository / name
    if folder.exists():
        raise ValueError(f"{folder} exists; choose another --name, or remove it")
    model = add_uint8_front(load_weights(weights, len(labels)), normalize=normalize, size=size)
    if classes_of(model) != len(labels):
        raise ValueError(f"{weights.name} has {classes_of(model)} classes, the labels are {len(labels)}")
    known = metadata_labels(model)
    if known is not None and known != labels:
        raise ValueError(f"{weights.name} names its classes itself, and not as the labels do: the order matters")
    set_metadata(model, "classes", json.dumps(list(labels)))

    repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repository, prefix=f".{name}.") as scratch:
        made = Path(scratch) / name
        (made / VERSION).mkdir(parents=True)
        onnx.save(model, made / VERSION / "model.onnx")
        (made / LABELS).write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
        manifest = _manifest(made, name, model, weights)
        for template in TEMPLATES:
            path = made / template
            path.parent.mkdir(exist_ok=True)
            path.write_text(render(template, manifest), encoding="utf-8")
        (made / MANIFEST).write_text(manifest.dump(), encoding="utf-8")
        check(made)
        made.rename(folder)
    return folder


def render(template: str, manifest: Manifest) -> str:
    """One file of ``templates/`` for a model. ``model.py`` is the same for all."""
    source: Traversable = files("gateway.modelkit") / "templates" / template
    text = source.read_text(encoding="utf-8")
    if template.endswith(".py"):
        return text
    batch, preferred = _DETECTORS_BATCHES if manifest.detects else _CLASSIFIERS_BATCHES
    return Template(text).substitute(
        name=manifest.name,
        image=_dims(manifest.input),
        output=manifest.output.name,
        shape=_dims(manifest.output),
        batch=batch,
        preferred=preferred,
    )


def _dims(tensor: TensorShape) -> str:
    return ", ".join("-1" if isinstance(length, str) else str(length) for length in tensor.shape[1:])


def check(folder: Path) -> Manifest:
    """Check a model's folder: digests, label order, and that every configuration fits the graph.

    Raises:
        ValueError: Names the file and what is wrong.
    """
    manifest = read_manifest(folder)
    labels = read_labels(folder, fewest=1 if manifest.detects else 2)
    verify_files(folder, manifest.files, missing="refused")
    if manifest.classes != len(labels):
        raise ValueError(f"{folder / LABELS}: {len(labels)} labels for {manifest.classes} logits")
    for name in manifest.files:
        if name.endswith(".onnx"):
            _check_graph(folder / name, manifest, labels)
    for path in (folder / "config.pbtxt", *sorted((folder / "configs").glob("*.pbtxt"))):
        _check_config(path, manifest)
    return manifest


def _check_graph(path: Path, manifest: Manifest, labels: tuple[str, ...]) -> None:
    """Exporters of detectors do not write a label order that could be held against ours; classifiers' must be there."""
    model = onnx.load(path)
    known = metadata_labels(model)
    if known != labels and not (manifest.detects and known is None):
        raise ValueError(f"{path.parent.parent / LABELS}: not the label order in the metadata of {path.name}")
    if classes_of(model) != len(labels):
        raise ValueError(f"{path}: {classes_of(model)} classes for {len(labels)} labels")


def read_config(path: Path) -> Any:
    """A Triton model configuration, as protobuf ``ModelConfig``. Raises ValueError that names the file."""
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except text_format.ParseError as error:
        raise ValueError(f"{path}: {error}") from None


def _check_config(path: Path, manifest: Manifest) -> None:
    config = read_config(path)
    wanted = [(tensor, _TYPES[tensor.dtype]) for tensor in (manifest.input, manifest.output)]
    found = [*config.input, *config.output]
    if config.name != manifest.name:
        raise ValueError(f"{path}: name is {config.name}, not {manifest.name}")
    if len(found) != 2:
        raise ValueError(f"{path}: one input and one output are wanted")
    for tensor, (promised, kind) in zip(found, wanted, strict=True):
        dtype = model_config_pb2.DataType.Name(tensor.data_type)
        dims = [-1 if isinstance(length, str) else length for length in promised.shape[1:]]
        if (tensor.name, dtype, list(tensor.dims)) != (promised.name, kind, dims):
            raise ValueError(f"{path}: {tensor.name} is not as {MANIFEST} says")
    if config.output[0].label_filename != LABELS:
        raise ValueError(f"{path}: label_filename is not {LABELS}")


def load_weights(weights: Path, classes: int) -> onnx.ModelProto:
    """The graph in a checkpoint or an ONNX file, as it is there. Raises ValueError."""
    if weights.suffix != ".onnx":
        from gateway.modelkit.resnet50 import build  # noqa: PLC0415 - not needed for an ONNX file
        from gateway.modelkit.weights import read_state_dict  # noqa: PLC0415

        return build(read_state_dict(weights), classes)
    try:
        return onnx.load(weights)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{weights.name}: cannot be read ({type(error).__name__})") from None
    except Exception as error:
        if type(error).__name__ != "DecodeError":  # google.protobuf.message.DecodeError, where protobuf has it
            raise
        raise ValueError(f"{weights.name}: not an ONNX file") from None


def _manifest(folder: Path, name: str, model: onnx.ModelProto, weights: Path) -> Manifest:
    return Manifest(
        name=name,
        files={path: digest(folder / path) for path in (LABELS, f"{VERSION}/model.onnx")},
        source=SourceFile(name=weights.name, **digest(weights).model_dump()),
        opset=next(entry.version for entry in model.opset_import if entry.domain == ""),
        input=TensorShape(name=INPUT, dtype="uint8", shape=["batch", *_lengths(model.graph.input[0])]),
        output=TensorShape(name=model.graph.output[0].name, dtype="float32", shape=output_shape(model)),
    )


def _lengths(value: onnx.ValueInfoProto) -> list[int]:
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim[1:]]
