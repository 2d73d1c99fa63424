"""The models on offer: name, version, digest, input, labels; from ``policies/models.yaml`` and the model repository.

The label order of a model stands in one file, ``model_repository/<model>/labels.txt``: a permuted list is a silent
misdiagnosis, so nothing else may repeat it. Digests stand in ``manifest.json`` beside it, that of the labels included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gateway.errors import UnknownModel
from gateway.modelkit.manifest import LABELS, MANIFEST, read_labels, read_manifest, verify_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Modality = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_]{1,16}$")]
"""A Defined Term of Modality (0008,0060), value representation CS."""
BodyPart = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_ ]{1,16}$")]
"""A term of Body Part Examined (0018,0015), PS3.16 Annex L, value representation CS."""
UNCERTAIN = "Uncertain"
"""What is said in place of a label when no label is probable enough; no model may have a label of this name."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _InputPolicy(_Strict):
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    resize: Literal["squash"]


class _ModelPolicy(_Strict):
    version: str = Field(pattern=r"^[1-9][0-9]*$")
    modalities: list[Modality]
    on_other_modality: Literal["refuse", "warn"]
    body_parts: list[BodyPart] = []
    on_other_body_part: Literal["refuse", "warn"] = "warn"
    temperature: float = Field(1.0, gt=0, le=100, strict=False)
    uncertain_below: float = Field(0.0, ge=0, le=1, strict=False)
    input: _InputPolicy


class _ModelsPolicy(_Strict):
    default: str
    models: dict[str, _ModelPolicy] = Field(min_length=1)


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
        body_parts: Terms of the body parts it was made for; empty takes all.
        on_other_body_part: What to do with an image of another part.
        temperature: By which the logits are divided before the softmax (Guo et al. 2017); 1 leaves them.
        uncertain_below: Probability of the best label under which the answer is ``UNCERTAIN``.
    """

    name: str
    version: str
    digest: str
    labels: tuple[str, ...]
    input: InputSpec
    modalities: frozenset[str] = frozenset()
    on_other_modality: Literal["refuse", "warn"] = "refuse"
    body_parts: frozenset[str] = frozenset()
    on_other_body_part: Literal["refuse", "warn"] = "warn"
    temperature: float = 1.0
    uncertain_below: float = 0.0


class ModelCatalog:
    """The models by name, with a default."""

    def __init__(self, models: Mapping[str, ModelSpec], default: str, repository: Path | None = None) -> None:
        self._models = dict(models)
        self._repository = repository
        self.default = default

    @classmethod
    def load(cls, policy: Path, repository: Path) -> ModelCatalog:
        """Read and check both. Raises ValueError that names the file and what is wrong in it."""
        rules = _read_policy(policy)
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


def _read_policy(path: Path) -> _ModelsPolicy:
    try:
        rules = _ModelsPolicy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ValueError(f"{path}: line {line}: not YAML: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ValueError(f"{path}: not YAML") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc'])) or 'top level'}: {first['msg']}") from None
    if rules.default not in rules.models:
        raise ValueError(f"{path}: default: {rules.default} is not among the models")
    return rules


def _spec(name: str, rule: _ModelPolicy, repository: Path) -> ModelSpec:
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
