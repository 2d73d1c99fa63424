"""Step 5 of 7: the interface. ``triton`` implements it for real, ``fake`` in memory, under one contract test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """The model's answer.

    Attributes:
        output: float32 [N, *shape], finite; ``shape`` is what ``infer`` was asked for.
        model_version: The version that answered.
    """

    output: npt.NDArray[np.float32]
    model_version: str


class InferenceClient(Protocol):
    """Sends uint8 image tensors to a model server that speaks KServe v2."""

    async def infer(
        self,
        model: str,
        images: npt.NDArray[np.uint8],
        *,
        shape: tuple[int, ...],
        timeout: float,  # noqa: ASYNC109 - becomes gRPC's own deadline, which the server sees as well
        request_id: str,
        version: str = "",
    ) -> Inference:
        """Ask the model about a batch.

        Args:
            model: The model's name.
            images: uint8 [N, height, width, channels]: RGB, or grey for a model that takes one channel. Sent as it is,
                or scaled to float32 and with the channels first to a model whose metadata asks for that. More than
                the model's maximum batch is sent as several requests.
            shape: What an image must come back as: ``(classes,)`` for logits; -1 takes any length of 1 or more, such as
                the anchors in ``(84, -1)``, the same for all images.
            timeout: Seconds left; becomes the gRPC timeout, and cancels the call on the server.
            request_id: Correlation ID, sent as Triton's request ID.
            version: The model version to ask for; empty lets the server's policy choose.

        Raises:
            ModelNotReady, InferenceTimeout, ServerBusy, InvalidAnswer, InferenceRejected.
        """
        ...

    async def expect(self, model: str, version: str = "", *, seconds: float = math.inf) -> None:
        """Find out whether a call would be made at all, before anything is done for it.

        Args:
            model: The model's name.
            version: The version that would be asked for.
            seconds: How long that may take.

        Raises:
            ModelNotReady, InferenceTimeout: It would not.
        """
        ...

    async def ready(self, model: str, version: str = "") -> bool:
        """Whether that model is loaded and warm. False also when the server cannot be reached; never raises."""
        ...

    async def batches(self, model: str, version: str = "") -> dict[int, int]:
        """How many batches of each size the server computed for a model since it was loaded; empty if it does not say.

        Raises:
            InferenceError: It cannot be asked.
        """
        ...

    async def close(self) -> None:
        """Close the connection. Idempotent."""
        ...
