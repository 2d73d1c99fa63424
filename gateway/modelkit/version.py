"""Beside the steps: puts another version of a model into its folder: same labels, input and output, other weights."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import onnx

from gateway.modelkit.artefact import VERSION, load_weights, render
from gateway.modelkit.front import add_uint8_front, metadata_labels, output_shape, set_metadata
from gateway.modelkit.manifest import LABELS, MANIFEST, Manifest, digest, read_labels, read_manifest


def add_version(
    folder: Path,
    version: str,
    weights: Path,
    labels: tuple[str, ...],
    *,
    normalize: str = "none",
    size: int | None = None,
) -> Manifest:
    """Make ``folder/version`` and list it in the manifest. Nothing that is there is changed but the manifest.

    Args:
        folder: The model's folder, as ``export`` made it.
        version: A number that the folder does not have yet.
        weights: As ``export`` takes them.
        labels: Which must be those of the folder, in its order.
        normalize: See ``add_uint8_front``.
        size: Likewise.

    Returns:
        The manifest as it is now.

    Raises:
        ValueError: The version is there, or the weights are those of a model with other labels, input or output.
    """
    manifest = read_manifest(folder)
    if labels != read_labels(folder, fewest=1):
        raise ValueError(f"The labels are not those of {folder / LABELS}, in its order")
    if (folder / version).exists():
        raise ValueError(f"{folder / version} exists; choose another --version")
    model = add_uint8_front(load_weights(weights, len(labels)), normalize=normalize, size=size)
    known = metadata_labels(model)
    if known is not None and known != labels:
        raise ValueError(f"{weights.name} names its classes itself, and not as the labels do: the order matters")
    made_for = ["batch", *(each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim[1:])]
    if made_for != manifest.input.shape or output_shape(model) != manifest.output.shape:
        raise ValueError(f"{weights.name} has another input or output than the versions in {folder}")
    set_metadata(model, "classes", json.dumps(list(labels)))

    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{version}.") as scratch:
        made = Path(scratch) / version
        made.mkdir()
        onnx.save(model, made / "model.onnx")
        (made / "model.py").write_text(render(f"{VERSION}/model.py", manifest), encoding="utf-8")
        listed = manifest.files | {f"{version}/model.onnx": digest(made / "model.onnx")}
        manifest = manifest.model_copy(update={"files": listed})
        (Path(scratch) / MANIFEST).write_text(manifest.dump(), encoding="utf-8")
        made.rename(folder / version)
        (Path(scratch) / MANIFEST).replace(folder / MANIFEST)
    return manifest
