"""Around step 5 of 7: what serves models and what changes them, joined over one database and one model server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gateway.models.administration import ModelAdministration
from gateway.models.cache import AnswerCache
from gateway.models.keeper import ModelKeeper
from gateway.models.routes import Routes
from gateway.models.serving import Serving
from inference_client.shadow import Shadows

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from gateway.admission.changes import Changes
    from gateway.admission.key_admin import Record
    from gateway.models.catalog import ModelCatalog
    from gateway.settings import Settings
    from inference_client.client import InferenceClient
    from inference_client.shadow import Outcome


@dataclass(frozen=True, slots=True)
class ModelParts:
    """Who answers, the answering, the changing of it, and that it stays so."""

    routes: Routes
    serving: Serving
    administration: ModelAdministration
    keeper: ModelKeeper

    @classmethod
    def of(  # noqa: PLR0917 - each is another kind of thing
        cls,
        settings: Settings,
        catalog: ModelCatalog,
        engine: AsyncEngine,
        changes: Changes,
        recorder: Record,
        inference: InferenceClient,
        copied: Callable[[str, str, Outcome], None],
    ) -> Self:
        """Join them, as the settings say."""
        models, admission = settings.models, settings.admission
        cache = None
        if models.cache_seconds:
            secret = admission.key_pepper.get_secret_value().encode()
            cache = AnswerCache(settings.redis, secret=secret, seconds=models.cache_seconds, room=models.cache_bytes)
        routes = Routes(engine, cache_seconds=admission.key_cache_seconds, changes=changes)
        serving = Serving(
            catalog,
            routes,
            inference,
            shadows=Shadows(models.shadow_calls),
            shadow_seconds=settings.triton.timeout_seconds,
            cache=cache,
            copied=copied,
        )
        triton = settings.triton.url
        administration = ModelAdministration(catalog, routes, recorder, triton)
        return cls(routes, serving, administration, ModelKeeper(catalog, routes, triton))
