"""The models on offer: name, version, digest, input, labels. Read from ``policies/models.yaml`` and the model repository.

The label order of a model stands in one file, ``model_repository/<model>/labels.txt``: a permuted list is a silent
misdiagnosis, so nothing else may repeat it. The digest is that of ``manifest.json`` beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the model's input tensor must be made like.

    Attributes:
        height: Pixels.
        width: Pixels.
        resize: ``squash`` ignores the aspect ratio, as the shipped model was trained.
    """

    height: int = 224
    width: int = 224
    resize: Literal["squash"] = "squash"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model.

    Attributes:
        name: Its name in Triton and in the API.
        version: The version pinned, as Triton names it.
        digest: SHA-256 of the weights, hex, from the manifest.
        labels: Class names in the order of the logits.
        input: How to make its tensor.
        modalities: Modality terms it was made for; empty takes all.
        on_other_modality: What to do with an image of another modality.
    """

    name: str
    version: str
    digest: str
    labels: tuple[str, ...]
    input: InputSpec
    modalities: frozenset[str] = frozenset()
    on_other_modality: Literal["refuse", "warn"] = "refuse"


class ModelCatalog:
    """The models by name, with a default."""

    def __init__(self, models: Mapping[str, ModelSpec], default: str) -> None:
        self._models = dict(models)
        self.default = default

    @classmethod
    def load(cls, policy: Path, repository: Path) -> ModelCatalog:
        """Read and check both. Raises ValueError that names the file and what is wrong in it."""
        raise NotImplementedError

    def resolve(self, name: str | None) -> ModelSpec:
        """The model of that name, or the default one. Raises UnknownModel."""
        raise NotImplementedError

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._models.values())
