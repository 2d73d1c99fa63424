"""Step 5 of 7: what a sick or overloaded model may cost: a bulkhead and a circuit breaker a model, and one safe retry.

    caller ─▶ breaker: held back? ─▶ bulkhead: room? ─▶ the server ─▶ unreachable: once more, if nothing was computed

Failures are: not ready, no answer in time, an answer that cannot be (NaN, another shape). Held back costs a caller
nothing but the answer, and it can be known before anything is done for it (``expect``). The trial that ends it is the
server's own readiness and, after a failure, a black image (``InferenceClient.ready``): no caller's request is used to
find out. Model versions fail by themselves: each has a breaker and a bulkhead of its own.
"""

from __future__ import annotations

import asyncio
import math
import random
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from inference_client.errors import (
    InferenceTimeout,
    InvalidAnswer,
    ModelNotReady,
    ServerBusy,
    ServerUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import numpy.typing as npt

    from inference_client.client import Inference, InferenceClient

RETRY_AFTER_SECONDS = 0.05
"""Mean pause before the one retry: a connection that was dropped is built up anew, or another server's is taken."""

PATIENCE_SECONDS = 1.0
"""A time-out counts as the model's failure if its caller had waited so long. One who hardly had time proves nothing."""


@dataclass(slots=True)
class Lane:
    """One model's state.

    Attributes:
        failures: Calls in a row that failed.
        held_until: Up to when calls are held back, on the clock; None while the breaker is closed.
        trying: Whether a trial is under way.
        images: How many are at the server now.
    """

    failures: int = 0
    held_until: float | None = None
    trying: bool = False
    images: int = 0


class ResilientClient:
    """An ``InferenceClient`` around another. One instance a process.

    Args:
        inner: Who asks the server.
        failures: So many calls in a row that fail (not ready, or no answer in time) open the breaker.
        seconds: So long calls are held back before a trial.
        images: Most images at the server for one model; 1 or more. A request that alone has more is let through when
            none other runs.
        now: A monotonic clock, seconds.
    """

    def __init__(
        self,
        inner: InferenceClient,
        *,
        failures: int,
        seconds: float,
        images: int,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._inner = inner
        self._failures = failures
        self._seconds = seconds
        self._images = images
        self._now = now
        self._lanes: dict[tuple[str, str], Lane] = {}

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
        """See ``InferenceClient``.

        Raises:
            ModelNotReady: Also while the breaker holds calls back.
            ServerBusy: Also when the model has as many images as it may.
        """
        began = self._now()
        lane = self._lanes.setdefault((model, version), Lane())
        await self._let_through(lane, model, version, timeout)

        async def ask() -> Inference:
            left = timeout - (self._now() - began)
            return await self._inner.infer(
                model, images, shape=shape, timeout=left, request_id=request_id, version=version
            )

        with self._room(lane, len(images)):
            try:
                try:
                    answer = await ask()
                except ServerUnreachable:
                    await asyncio.sleep(RETRY_AFTER_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load
                    answer = await ask()
            except InferenceTimeout:
                if self._now() - began >= PATIENCE_SECONDS:
                    self._failed(lane)
                raise
            except (ModelNotReady, InvalidAnswer):
                self._failed(lane)
                raise
        lane.failures, lane.held_until = 0, None
        return answer

    async def expect(self, model: str, version: str = "", *, seconds: float = math.inf) -> None:
        """Find out, before anything is done for a request, whether its model would be asked. Makes a trial that is due.

        Args:
            model: The model's name.
            version: As it will be asked for.
            seconds: How long that may take.

        Raises:
            ModelNotReady: The breaker holds calls back, or the trial failed.
            InferenceTimeout: The trial takes longer.
        """
        lane = self._lanes.get((model, version))
        if lane is not None:
            await self._let_through(lane, model, version, seconds)

    async def ready(self, model: str, version: str = "") -> bool:
        """See ``InferenceClient``. A model that is found ready is held back no longer."""
        ready = await self._inner.ready(model, version)
        lane = self._lanes.get((model, version))
        if ready and lane is not None and lane.held_until is not None:
            # A server may call a model ready that hangs: the first call that fails holds the next ones back again.
            lane.failures, lane.held_until = self._failures - 1, None
        return ready

    async def batches(self, model: str, version: str = "") -> dict[int, int]:
        """See ``InferenceClient``."""
        return await self._inner.batches(model, version)

    async def close(self) -> None:
        """See ``InferenceClient``."""
        await self._inner.close()

    def held_back(self, model: str, version: str = "") -> bool:
        """Whether the breaker is open for a model."""
        lane = self._lanes.get((model, version))
        return lane is not None and lane.held_until is not None

    def states(self) -> dict[tuple[str, str], str]:
        """Of each model and version asked so far: ``closed``, ``open``, or ``half-open`` while or until it is tried."""
        now = self._now()
        return {
            key: "closed"
            if lane.held_until is None
            else "open"
            if now < lane.held_until and not lane.trying
            else "half-open"
            for key, lane in self._lanes.items()
        }

    async def _let_through(self, lane: Lane, model: str, version: str, seconds: float) -> None:
        """While the breaker is open: refuse, or make the trial. One caller makes it; others are refused meanwhile."""
        if lane.held_until is None:
            return
        if lane.trying or self._now() < lane.held_until:
            left = max(0.0, lane.held_until - self._now())
            raise ModelNotReady("held back after failures in a row", retry_after=left)
        lane.trying = True
        try:
            async with asyncio.timeout(seconds if math.isfinite(seconds) else None):
                ready = await self.ready(model, version)
        except TimeoutError:
            raise InferenceTimeout("no time left for the trial") from None
        finally:
            lane.trying = False
        if not ready:
            lane.held_until = self._now() + self._seconds
            raise ModelNotReady("held back: not ready when it was tried", retry_after=self._seconds)

    @contextmanager
    def _room(self, lane: Lane, images: int) -> Iterator[None]:
        if lane.images and lane.images + images > self._images:
            raise ServerBusy("the model has as many images as it may")
        lane.images += images
        try:
            yield
        finally:
            lane.images -= images

    def _failed(self, lane: Lane) -> None:
        lane.failures += 1
        if lane.failures >= self._failures:
            lane.held_until = self._now() + self._seconds
