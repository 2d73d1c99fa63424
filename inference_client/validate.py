"""Step 5 of 7: an answer is believed only after a look at it.

A model server that was updated, misconfigured or is failing can answer with the wrong number of classes or with NaN;
both would become a confident wrong diagnosis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inference_client.errors import InvalidAnswer

if TYPE_CHECKING:
    import numpy.typing as npt


def validate(logits: npt.NDArray[Any] | None, *, images: int, classes: int) -> npt.NDArray[np.float32]:
    """The logits, if they are float32 [images, classes] and finite.

    Raises:
        InvalidAnswer: They are not; says what was wanted and what came.
    """
    if logits is None:
        raise InvalidAnswer("the answer holds no logits")
    if logits.dtype != np.float32:
        raise InvalidAnswer(f"the logits are {logits.dtype}, not float32")
    if logits.shape != (images, classes):
        raise InvalidAnswer(f"the logits are {list(logits.shape)}, not {[images, classes]}")
    if not np.isfinite(logits).all():
        raise InvalidAnswer("the logits are not finite")
    return logits
