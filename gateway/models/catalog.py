"""Around step 5 of 7: name, version, digest, input, labels of each model; from ``policies/models.yaml`` and manifests.

The label order of a model stands in one file, ``model_repository/<model>/labels.txt``: a permuted list is a silent
misdiagnosis, so nothing else may repeat it. Digests stand in ``manifest.json`` beside it, that of the labels included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import UnknownModel
from gateway.modelkit.manifest import LABELS, MANIFEST, read_labels, read_manifest, verify_files
from gateway.models.policy import read_policy
from gateway.models.spec import UNCERTAIN, InputSpec, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gateway.models.policy import ModelPolicy


class ModelCatalog:
    """The models by name, with a default."""

    def __init__(self, models: Mapping[str, ModelSpec], default: str, repository: Path | None = None) -> None:
        self._models = dict(models)
        self._repository = repository
        self.default = default

    @classmethod
    def load(cls, policy: Path, repository: Path) -> ModelCatalog:
        """Read and check both. Raises ValueError that names the file and what is wrong in it."""
        rules, _ = read_policy(policy)
        models = {name: _spec(name, rule, repository) for name, rule in rules.models.items()}
        return cls(models, rules.default, repository)

    def resolve(self, name: str | None) -> ModelSpec:
        """The model of that name, or the default one. Raises UnknownModel."""
        found = self._models.get(self.default if name is None else name)
        if found is None:
            raise UnknownModel("No model of that name is served here")
        return found

    def verify_weights(self) -> list[Path]:
        """Check weights against manifests, where they are on this host. Reads every byte: for once, at the start.

        Returns:
            The files that were there and fit. None is no error: a gateway may run apart from the model server, which
            makes the same check when it loads them.

        Raises:
            ValueError: A file is not the one that its manifest lists; names it.
        """
        if self._repository is None:
            return []
        checked = []
        for name in self._models:
            folder = self._repository / name
            checked += verify_files(folder, read_manifest(folder).files, missing="allowed")
        return checked

    def __iter__(self) -> Iterator[ModelSpec]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)


def _spec(name: str, rule: ModelPolicy, repository: Path) -> ModelSpec:
    folder = repository / name
    manifest, labels = read_manifest(folder), read_labels(folder)
    try:
        digest = manifest.weights(rule.version).sha256
    except KeyError:
        raise ValueError(f"{folder / MANIFEST}: version {rule.version} is not listed") from None
    if manifest.classes != len(labels):
        raise ValueError(f"{folder / LABELS}: {len(labels)} labels for {manifest.classes} logits")
    if UNCERTAIN in labels:
        raise ValueError(f"{folder / LABELS}: {UNCERTAIN} is what an answer says that no label is probable enough for")
    verify_files(folder, {LABELS: manifest.files[LABELS]}, missing="refused")  # a permuted list has another digest
    size = manifest.input.shape[1:3]
    if size != [rule.input.height, rule.input.width]:
        raise ValueError(f"{folder / MANIFEST}: the input is {size}, not as policies say for {name}")
    return ModelSpec(
        name=name,
        version=rule.version,
        digest=digest,
        labels=labels,
        input=InputSpec(rule.input.height, rule.input.width, rule.input.resize),
        modalities=frozenset(rule.modalities),
        on_other_modality=rule.on_other_modality,
        body_parts=frozenset(rule.body_parts),
        on_other_body_part=rule.on_other_body_part,
        temperature=rule.temperature,
        uncertain_below=rule.uncertain_below,
    )
