"""Beside the steps: ``manifest.json``, what a model's folder promises, and the check that it keeps it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = "manifest.json"
LABELS = "labels.txt"
WEIGHTS = ("model.onnx", "model.bin", "model.py")
"""Files of a version that may hold its weights, the first that is listed: ONNX, OpenVINO's IR, or code alone."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FileDigest(_Strict):
    """One file, byte for byte."""

    sha256: Sha256
    bytes: int = Field(ge=1)


class SourceFile(FileDigest):
    """The file that the weights were made from."""

    name: str = Field(min_length=1)


class TensorShape(_Strict):
    """An input or output; ``"batch"`` stands for the batch dimension."""

    name: str = Field(min_length=1)
    dtype: Literal["uint8", "float32"]
    shape: list[int | str] = Field(min_length=2)


class Manifest(_Strict):
    """What is in a model's folder.

    Attributes:
        name: The folder's name, and the model's in Triton.
        files: Path inside the folder to digest: ``labels.txt``, and for each version one of ``WEIGHTS``, such as
            ``1/model.onnx``, with what belongs to it.
        source: What the weights were made from.
        opset: ONNX operator set of the graph.
        input: The graph's input.
        output: The graph's output: of a classifier [batch, labels], of a detector [batch, 4 + labels, anchors].
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    files: dict[str, FileDigest]
    source: SourceFile
    opset: int = Field(ge=13)
    input: TensorShape
    output: TensorShape

    def weights(self, version: str) -> FileDigest:
        """The digest of one version's weights. Raises KeyError for a version that is not listed."""
        for name in WEIGHTS:
            if found := self.files.get(f"{version}/{name}"):
                return found
        raise KeyError(version)

    @property
    def detects(self) -> bool:
        """Whether it is a detector's: the output has a column an anchor."""
        return len(self.output.shape) == 3

    @property
    def classes(self) -> int:
        """Labels that the output has room for; 0 if the graph does not say."""
        channels = self.output.shape[1]
        if not isinstance(channels, int):
            return 0
        return channels - 4 if self.detects else channels

    def dump(self) -> str:
        """As it stands in the file."""
        return json.dumps(self.model_dump(), indent=2) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json`` of a model's folder.

    Raises:
        ValueError: It is missing, malformed, or that of another model; names the file and what is wrong.
    """
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if LABELS not in manifest.files:
        raise ValueError(f"{path}: files: {LABELS} is not listed")
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in manifest.files):
        raise ValueError(f"{path}: files: a path leads out of the folder")
    if manifest.name != folder.resolve().name:
        raise ValueError(f"{path}: name is {manifest.name}, but the folder is {folder.resolve().name}")
    return manifest


def read_labels(folder: Path, fewest: int = 2) -> tuple[str, ...]:
    """The class names of ``labels.txt``, one a line, in the order of the logits; a classifier has two or more.

    Raises:
        ValueError: It is missing, has an empty line, a line with spaces around it, a label twice, or fewer than that.
    """
    path = folder / LABELS
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    return check_labels(text.removesuffix("\n").split("\n"), path, fewest)


def check_labels(labels: list[str], path: Path, fewest: int = 2) -> tuple[str, ...]:
    """The same, for lines already read."""
    for number, label in enumerate(labels, start=1):
        if not label or label != label.strip() or not label.isprintable():
            raise ValueError(f"{path}: line {number} is empty, or has spaces or control characters around or in it")
    if len(set(labels)) < len(labels):
        raise ValueError(f"{path}: a label stands in it twice")
    if len(labels) < fewest:
        raise ValueError(f"{path}: a classifier needs two labels or more")
    return tuple(labels)


def digest(path: Path) -> FileDigest:
    """SHA-256 and size of a file."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileDigest(sha256=sha256, bytes=path.stat().st_size)


def verify_files(
    folder: Path, listed: Mapping[str, FileDigest], *, missing: Literal["allowed", "refused"]
) -> list[Path]:
    """Compare files with their digests.

    Args:
        folder: The model's folder.
        listed: The manifest's ``files``, or some of them.
        missing: Whether a listed file may be absent, as weights are on a host that only runs the gateway.

    Returns:
        The files that were there and fit.

    Raises:
        ValueError: One does not fit; names the file.
    """
    checked = []
    for name, promised in listed.items():
        path = folder / name
        if not path.is_file():
            if missing == "refused":
                raise ValueError(f"{path}: listed in {MANIFEST}, but not there")
            continue
        # The size first: it is free, and the usual broken file is a Git LFS pointer or half a download.
        if path.stat().st_size != promised.bytes or digest(path) != promised:
            raise ValueError(f"{path}: not the file that {MANIFEST} lists (SHA-256 differs)")
        checked.append(path)
    return checked
