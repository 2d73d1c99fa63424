"""Around step 5 of 7: a model server that started anew has again what an operator had loaded into it.

At its start Triton loads what its own configuration says. Where an operator had a version loaded that answers since, or
is the shadow, its patients would find nobody after a restart. So each gateway process looks from time to time, and has
such a version loaded again. It looks at models alone that an operator changed while all ran: what the policy file says
is the model server's own configuration to load.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import structlog

from gateway.errors import StoreUnavailable
from inference_client.control import ModelControl
from inference_client.errors import InferenceError

if TYPE_CHECKING:
    from gateway.models.catalog import ModelCatalog
    from gateway.models.routes import Routes

log = structlog.get_logger(__name__)

EVERY_SECONDS = 3.0


class ModelKeeper:
    """One a process.

    Args:
        catalog: What is offered.
        routes: What operators set.
        triton: ``host:port`` of the model server's gRPC listener.
    """

    def __init__(self, catalog: ModelCatalog, routes: Routes, triton: str) -> None:
        self._catalog = catalog
        self._routes = routes
        self._triton = triton
        self._task: asyncio.Task[None] | None = None
        self._told: set[tuple[str, frozenset[str]]] = set()

    def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Once, at every model. Never raises for a store or a model server that is away: the next look is soon."""
        for offer in self._catalog.offers.values():
            try:
                change = await self._routes.last(offer)
            except StoreUnavailable:
                return
            if change is None:
                continue
            route = change.served.route
            await self._keep(offer.name, frozenset(route.serving) | ({route.shadow} - {""}))

    async def _run(self) -> None:
        while True:
            # Not all processes at once: the first that finds a version missing has it loaded.
            await asyncio.sleep(EVERY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load
            await self.look()

    async def _keep(self, model: str, needed: frozenset[str]) -> None:
        control = ModelControl(self._triton)
        try:
            loaded = await control.versions(model)
            if needed <= loaded:
                self._told.clear()
                return
            log.warning("model.loaded-again", model=model, versions=sorted(needed - loaded))
            await control.serve(model, loaded | needed)
        except InferenceError as error:
            if (model, needed) not in self._told:  # once: it is away, or has not finished its own start
                self._told.add((model, needed))
                log.warning("model.not-loaded-again", model=model, cause=str(error))
        finally:
            await control.close()
