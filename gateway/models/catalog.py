"""Around step 5 of 7: what is offered: ``policies/models.yaml``, held against the manifests of the models' folders.

The label order of a model stands in one file, ``model_repository/<model>/labels.txt``: a permuted list is a silent
misdiagnosis, so nothing else may repeat it. Digests stand in ``manifest.json`` beside it, that of the labels included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import UnknownModel
from gateway.modelkit.manifest import LABELS, read_labels, read_manifest, verify_files
from gateway.models.offer import Offer
from gateway.models.policy import fault, read_policy
from gateway.models.spec import NO_FINDING, UNCERTAIN, DetectionSpec, InputSpec, ModelSpec
from inference_client.metadata import Scaling
from inference_client.routing import Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gateway.deid.policy_lines import Lines
    from gateway.modelkit.manifest import Manifest
    from gateway.models.policy import InputPolicy, ModelPolicy
    from gateway.models.spec import Task


class ModelCatalog:
    """The models by name, with a default."""

    def __init__(self, offers: Mapping[str, Offer], default: str, repository: Path | None = None) -> None:
        self.offers = dict(offers)
        self.default = default
        self._repository = repository

    @classmethod
    def load(cls, policy: Path, repository: Path) -> ModelCatalog:
        """Read and check both. Raises ValueError that names the file, the line and what is wrong in it."""
        rules, lines = read_policy(policy)
        offers = {name: _offer(name, rule, repository, lines) for name, rule in rules.models.items()}
        return cls(offers, rules.default, repository)

    def offer(self, name: str | None) -> Offer:
        """The model of that name with its versions, or the default one. Raises UnknownModel."""
        found = self.offers.get(self.default if name is None else name)
        if found is None:
            raise UnknownModel("No model of that name is served here")
        return found

    def resolve(self, name: str | None) -> ModelSpec:
        """The main version of that model, or of the default one. Raises UnknownModel."""
        return self.offer(name).main

    def verify_weights(self, name: str | None = None, version: str | None = None) -> list[Path]:
        """Check files against manifests, where they are on this host. Reads every byte: for once, at the start.

        Args:
            name: Of this model alone.
            version: The labels, and this version's files alone.

        Returns:
            The files that were there and fit. None is no error: a gateway may run apart from the model server, which
            makes the same check when it loads them.

        Raises:
            ValueError: A file is not the one that its manifest lists; names it.
        """
        if self._repository is None:
            return []
        checked = []
        for model in [name] if name else self.offers:
            folder = self._repository / model
            files = read_manifest(folder).files
            if version is not None:
                files = {path: file for path, file in files.items() if path.split("/")[0] in {LABELS, version}}
            checked += verify_files(folder, files, missing="allowed")
        return checked

    def scalings(self) -> dict[str, Scaling]:
        """Model to how its pixels become floats, where it takes floats."""
        return {
            spec.name: Scaling(spec.input.divide_by, spec.input.mean, spec.input.std)
            for spec in self
            if spec.input.dtype == "float32"
        }

    def __iter__(self) -> Iterator[ModelSpec]:
        """The main version of each."""
        return (offer.main for offer in self.offers.values())

    def __len__(self) -> int:
        return len(self.offers)


def _offer(name: str, rule: ModelPolicy, repository: Path, lines: Lines) -> Offer:
    folder = repository / name
    manifest, labels = read_manifest(folder), _labels(folder, rule.task)
    _check_output(manifest, rule.task, len(labels), folder)
    verify_files(folder, {LABELS: manifest.files[LABELS]}, missing="refused")  # a permuted list has another digest
    made_for = _input(rule.input)
    _check_input(made_for, manifest, lines, name)
    versions = {}
    for version, own in rule.versions.items():
        try:
            digest = manifest.weights(version).sha256
        except KeyError:
            raise fault(lines, ("models", name, "versions", version), f"not listed in {folder}/manifest.json") from None
        versions[version] = ModelSpec(
            name=name,
            version=version,
            digest=digest,
            labels=labels,
            input=made_for,
            task=rule.task,
            modalities=frozenset(rule.modalities),
            on_other_modality=rule.on_other_modality,
            body_parts=frozenset(rule.body_parts),
            on_other_body_part=rule.on_other_body_part,
            temperature=rule.temperature if own.temperature is None else own.temperature,
            uncertain_below=rule.uncertain_below if own.uncertain_below is None else own.uncertain_below,
            detection=DetectionSpec(**rule.detection.model_dump()),
        )
    shares = {version: own.weight for version, own in rule.versions.items()}
    shadow = (rule.shadow.version, rule.shadow.share) if rule.shadow else ()
    return Offer(name, versions, Route(shares, *shadow))


def _check_output(manifest: Manifest, task: Task, labels: int, folder: Path) -> None:
    shape = manifest.output.shape[1:]
    if task == "detection":
        if len(shape) != 2 or shape[0] != 4 + labels:
            raise ValueError(
                f"{folder / LABELS}: {labels} labels, but the output is {shape}, not 4 + labels by anchors"
            )
    elif shape != [labels]:
        raise ValueError(f"{folder / LABELS}: {labels} labels for {manifest.classes} logits")


def _labels(folder: Path, task: Task) -> tuple[str, ...]:
    labels = read_labels(folder, fewest=1 if task == "detection" else 2)
    if task == "detection" and NO_FINDING in labels:
        raise ValueError(f"{folder / LABELS}: {NO_FINDING} is what an answer says in which nothing was found")
    if UNCERTAIN in labels:
        raise ValueError(f"{folder / LABELS}: {UNCERTAIN} is what an answer says that no label is probable enough for")
    return labels


def _input(rule: InputPolicy) -> InputSpec:
    return InputSpec(**rule.model_dump(exclude={"mean", "std"}), mean=tuple(rule.mean), std=tuple(rule.std))


def _check_input(spec: InputSpec, manifest: Manifest, lines: Lines, name: str) -> None:
    says, wants = (manifest.input.dtype, manifest.input.shape[1:]), (spec.dtype, list(spec.shape))
    if says != wants:
        described = f"{says[0]} {says[1]}, and not {wants[0]} {wants[1]}"
        raise fault(lines, ("models", name, "input"), f"the manifest of {name} says that its input is {described}")
