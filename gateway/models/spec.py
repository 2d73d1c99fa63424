"""Around step 5 of 7: what is known of one version of a model, and how its tensor is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UNCERTAIN = "Uncertain"
"""What is said in place of a label when no label is probable enough; no model may have a label of this name."""


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
