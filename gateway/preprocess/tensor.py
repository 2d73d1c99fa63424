"""Step 4 of 7: sanitized frames become the model's input. No float work: the model's graph scales (uint8 in)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from gateway.catalog import InputSpec
    from gateway.deid.image import SanitizedImage


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """The only thing that leaves for the model server.

    Attributes:
        array: uint8 [frames, height, width, 3], RGB.
        digest: SHA-256 of the array's bytes, hex.
    """

    array: npt.NDArray[np.uint8] = field(repr=False)
    digest: str


def to_tensor(image: SanitizedImage, spec: InputSpec) -> Tensor:
    """Resize every frame to the model's size and stack them."""
    raise NotImplementedError
