"""GET /v1/models: what may be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gateway.api.describe import ALWAYS, problems
from gateway.api.parts import Joined

if TYPE_CHECKING:
    from gateway.api.parts import Parts
    from gateway.models.offer import Offer

router = APIRouter(tags=["predict"])


class OfferedVersion(BaseModel):
    """One version of a model."""

    version: str = Field(description="What `X-Model-Version` takes")
    digest: str = Field(description="SHA-256 of its weights, hex")
    share: int = Field(description="Percent of the patients whom it answers now")


class ModelEntry(BaseModel):
    """One model."""

    name: str = Field(description="What `model` in a query takes")
    version: str = Field(description="The version that answers most now")
    digest: str = Field(description="SHA-256 of its weights, hex")
    versions: list[OfferedVersion] = Field(description="All that can be asked for")
    task: str = Field(description="`classification` or `detection`: the form of its answers")
    labels: list[str] = Field(description="What it tells apart, in the order of its outputs")
    modalities: list[str] = Field(description="DICOM modalities it was made for; empty takes all")
    on_other_modality: str = Field(description="`refuse` or `warn`")
    body_parts: list[str] = Field(description="DICOM body parts it was made for; empty takes all")
    on_other_body_part: str = Field(description="`refuse` or `warn`")
    uncertain_below: float = Field(description="Probability of the best label under which the answer is `Uncertain`")
    default: bool = Field(description="Whether it answers where no model is named")


class ModelList(BaseModel):
    """All models on offer."""

    models: list[ModelEntry]


@router.get("/v1/models", summary="List the models", responses=problems(*ALWAYS))
async def models(joined: Joined) -> ModelList:
    """The models on offer."""
    return ModelList(models=[await _entry(joined, offer) for offer in joined.catalog.offers.values()])


async def _entry(joined: Parts, offer: Offer) -> ModelEntry:
    served = await joined.models.routes.of(offer)
    spec, shares = offer.versions[served.route.main], served.route.shares
    return ModelEntry(
        name=spec.name,
        version=spec.version,
        digest=spec.digest,
        versions=[
            OfferedVersion(version=version, digest=each.digest, share=shares.get(version, 0))
            for version, each in offer.versions.items()
            if version not in served.unloaded
        ],
        task=spec.task,
        labels=list(spec.labels),
        modalities=sorted(spec.modalities),
        on_other_modality=spec.on_other_modality,
        body_parts=sorted(spec.body_parts),
        on_other_body_part=spec.on_other_body_part,
        uncertain_below=spec.uncertain_below,
        default=offer.name == joined.catalog.default,
    )
