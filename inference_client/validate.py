"""Step 5 of 7: an answer is believed only after a look at it.

A model server that was updated, misconfigured or is failing can answer with an array of another shape or with NaN;
both would become a confident wrong diagnosis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inference_client.errors import InvalidAnswer

if TYPE_CHECKING:
    import numpy.typing as npt


def validate(output: npt.NDArray[Any] | None, *, images: int, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """The output, if it is float32 [images, *shape] and finite; a -1 in ``shape`` takes any length of 1 or more.

    Raises:
        InvalidAnswer: It is not; says what was wanted and what came.
    """
    if output is None:
        raise InvalidAnswer("the answer holds no output")
    if output.dtype != np.float32:
        raise InvalidAnswer(f"the output is {output.dtype}, not float32")
    wanted = (images, *shape)
    fits = output.ndim == len(wanted) and all(
        want == length or (want == -1 and length > 0) for want, length in zip(wanted, output.shape, strict=True)
    )
    if not fits:
        raise InvalidAnswer(f"the output is {list(output.shape)}, not {list(wanted)}")
    if not np.isfinite(output).all():
        raise InvalidAnswer("the output is not finite")
    return output
