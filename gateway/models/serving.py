"""Step 5 of 7: which version answers a request, and its answer: kept from before, or the model server's now.

choose   pinned by the caller ─▶ else by the patient's pseudonym, or the tensor where there is none
infer    cache ─▶ model server ─▶ a copy to the shadow, for which nobody waits
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import structlog

from gateway.errors import UnknownVersion
from gateway.models.spec import UNCERTAIN
from gateway.respond.boxes import boxes
from gateway.respond.prediction import softmax

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from gateway.models.cache import AnswerCache
    from gateway.models.catalog import ModelCatalog
    from gateway.models.routes import Routes
    from gateway.models.spec import ModelSpec
    from gateway.preprocess.tensor import Tensor
    from inference_client.client import Inference, InferenceClient
    from inference_client.shadow import Outcome, Shadows

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One request's share of step 5.

    Attributes:
        tensor: What is sent.
        tenant: Whose request.
        request_id: Correlation ID.
        seconds: Time left.
    """

    tensor: Tensor
    tenant: str
    request_id: str
    seconds: float


class Serving:
    """The versions of one process's models.

    Args:
        catalog: What is offered.
        routes: Who answers now.
        inference: The model server.
        shadows: Copies for versions on trial.
        shadow_seconds: Longest that such a copy may take.
        cache: What was said before; None keeps nothing.
        copied: Told the outcome of each copy: model, version, outcome. Must neither block nor raise.
    """

    def __init__(
        self,
        catalog: ModelCatalog,
        routes: Routes,
        inference: InferenceClient,
        *,
        shadows: Shadows,
        shadow_seconds: float,
        cache: AnswerCache | None = None,
        copied: Callable[[str, str, Outcome], None] = lambda _model, _version, _outcome: None,
    ) -> None:
        self._catalog = catalog
        self._routes = routes
        self._inference = inference
        self._shadows = shadows
        self._shadow_seconds = shadow_seconds
        self._cache = cache
        self._copied = copied

    async def expected(self, name: str | None, pinned: str = "") -> ModelSpec:
        """Before the picture is known: the version pinned, or the one that answers most now.

        Raises:
            UnknownModel, UnknownVersion: It is not on offer, or that version is unloaded.
            StoreUnavailable: Which one answers cannot be found out.
        """
        offer = self._catalog.offer(name)
        served = await self._routes.of(offer)
        if not pinned:
            return offer.versions[served.route.main]
        if pinned in served.unloaded:
            raise UnknownVersion("That version of the model is not on offer now")
        return offer.version(pinned)

    async def choose(self, name: str, key: str, pinned: str = "") -> ModelSpec:
        """The version that answers.

        Args:
            name: The model.
            key: What must always meet the same version.
            pinned: The version that the caller wants; empty if none.

        Raises:
            UnknownVersion, StoreUnavailable: As ``expected``.
        """
        if pinned:
            return await self.expected(name, pinned)
        offer = self._catalog.offer(name)
        return offer.versions[(await self._routes.of(offer)).route.pick(name, key)]

    async def infer(self, spec: ModelSpec, call: Call) -> tuple[Inference, bool]:
        """What the version says, and whether it was kept from before. Raises what ``InferenceClient.infer`` raises."""
        name = self._cache.name(call.tenant, call.tensor.digest, spec) if self._cache is not None else b""
        if self._cache is not None and (kept := await self._cache.get(name, spec)) is not None:
            return kept, True
        inference = await self._ask(spec, call, call.seconds)
        if self._cache is not None:
            self._cache.put(name, inference)
        self._copy(spec, call, inference)
        return inference, False

    async def close(self) -> None:
        """End the copies and close the cache."""
        await self._shadows.close()
        if self._cache is not None:
            await self._cache.close()

    async def _ask(self, spec: ModelSpec, call: Call, seconds: float) -> Inference:
        return await self._inference.infer(
            spec.name,
            call.tensor.array,
            shape=spec.output_shape,
            timeout=seconds,
            request_id=call.request_id,
            version=spec.version,
        )

    def _copy(self, spec: ModelSpec, call: Call, given: Inference) -> None:
        offer = self._catalog.offer(spec.name)
        route = self._routes.of_late(offer).route
        if not route.copies(spec.name, call.request_id, spec.version):
            return
        trial = offer.versions[route.shadow]

        async def same(answer: Inference) -> bool:
            if spec.task == "classification":
                return _labels(trial, answer.output) == _labels(spec, given.output)
            found = await asyncio.to_thread(_labels, trial, answer.output)
            return found == await asyncio.to_thread(_labels, spec, given.output)

        def tell(outcome: Outcome) -> None:
            log.info("model.shadow", model=trial.name, version=trial.version, beside=spec.version, outcome=outcome)
            self._copied(trial.name, trial.version, outcome)

        self._shadows.copy(partial(self._ask, trial, call, self._shadow_seconds), same, tell)


def _labels(spec: ModelSpec, output: npt.NDArray[np.float32]) -> list[tuple[str, ...]]:
    """What is said of each frame: one label, or those of all boxes."""
    if spec.task == "detection":
        return [tuple(sorted(spec.labels[each] for each in boxes(frame, spec.detection).labels)) for frame in output]
    probabilities = softmax(output.astype(np.float64) / spec.temperature)
    return [
        (spec.labels[int(row.argmax())] if row.max() >= spec.uncertain_below else UNCERTAIN,) for row in probabilities
    ]
