"""Step 5 of 7: a model server in memory, for tests of what is around it. Held to the same contract as the real one."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from inference_client.client import Inference
from inference_client.errors import InferenceRejected, InferenceTimeout, ModelNotReady, ServerBusy
from inference_client.validate import validate

if TYPE_CHECKING:
    import numpy.typing as npt

State = Literal["up", "down", "busy"]


@dataclass(slots=True)
class FakeClient:
    """An ``InferenceClient`` whose logits follow from the image's bytes alone.

    Attributes:
        models: Name to number of logits.
        size: Height and width that the models take.
        version: The version that answers.
        state: ``up``; ``down``: nothing answers; ``busy``: the queue is full.
        delay: Seconds that an answer takes.
        broken: Answer with NaN.
        requests: The request IDs of the calls that were computed.
        computed: Batch size to batches; each call is one.
    """

    models: dict[str, int]
    size: tuple[int, int] = (224, 224)
    version: str = "1"
    state: State = "up"
    delay: float = 0.0
    broken: bool = False
    requests: list[str] = field(default_factory=list)
    computed: Counter[int] = field(default_factory=Counter)

    async def infer(
        self,
        model: str,
        images: npt.NDArray[np.uint8],
        *,
        shape: tuple[int, ...],
        timeout: float,  # noqa: ASYNC109 - the interface's own argument
        request_id: str,
        version: str = "",
    ) -> Inference:
        """See ``InferenceClient``."""
        if timeout <= 0:
            raise InferenceTimeout("no time left")
        if self.state == "busy":
            raise ServerBusy("the queue is full")
        if not await self.ready(model, version):
            raise ModelNotReady("the model is not ready")
        if images.ndim != 4 or images.shape[1:] != (*self.size, 3) or not len(images):
            raise InferenceRejected("the images do not have the model's shape")
        try:
            async with asyncio.timeout(timeout):
                await asyncio.sleep(self.delay)
        except TimeoutError:
            raise InferenceTimeout("no answer before the deadline") from None
        self.requests.append(request_id)
        self.computed[len(images)] += 1
        logits = np.stack([_logits(image, self.models[model]) for image in images])
        if self.broken:
            logits[0, 0] = np.nan
        return Inference(validate(logits, images=len(images), shape=shape), self.version)

    async def expect(self, model: str, version: str = "", *, seconds: float = math.inf) -> None:
        """See ``InferenceClient``. Nothing is known before the call."""

    async def ready(self, model: str, version: str = "") -> bool:
        """See ``InferenceClient``."""
        return self.state != "down" and model in self.models and version in {"", self.version}

    async def batches(self, model: str, version: str = "") -> dict[int, int]:
        """See ``InferenceClient``."""
        if not await self.ready(model, version):
            raise ModelNotReady("the model is not ready")
        return dict(self.computed)

    async def close(self) -> None:
        """See ``InferenceClient``."""


def _logits(image: npt.NDArray[np.uint8], classes: int) -> npt.NDArray[np.float32]:
    """Between -4 and 4, the same for the same pixels on every machine."""
    seed = int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8], "little")
    return np.random.default_rng(seed).uniform(-4, 4, classes).astype(np.float32)
