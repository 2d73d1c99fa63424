"""/v1/admin/models: which version of a model answers, what is loaded, and how warm it is.

The rules are ``models/administration.py``'s.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.describe import ALWAYS, OF_RESOURCES, problems
from gateway.api.on_record import begin
from gateway.api.parts import Admitted, CurrentExchange, Joined
from gateway.errors import Conflict, ModelUnavailable, UnknownModel, UnknownVersion
from gateway.models.administration import Why
from gateway.models.routes import Action, ChangeReason

if TYPE_CHECKING:
    from gateway.models.administration import Standing, Warmth

router = APIRouter(tags=["administration"], prefix="/v1/admin/models")
Name = Annotated[str, Path(min_length=1, max_length=128, description="The model")]
Version = Annotated[str, Field(pattern="^[1-9][0-9]{0,8}$", description="One that the policy file offers")]
Percent = Annotated[
    int, Field(strict=True, ge=0, le=100, description="Of the patients, or of the requests for a shadow")
]
_PROBLEMS = problems(*ALWAYS, *OF_RESOURCES, UnknownModel, UnknownVersion, Conflict, ModelUnavailable)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reasoned(_Body):
    """Why something is changed."""

    reason: ChangeReason = Field(description="A code; it goes on record")
    note: str = Field(default="", max_length=500, description="A sentence for the other operators; not on record")

    @property
    def why(self) -> Why:
        """The same for the rules."""
        return Why(self.reason, self.note)


class OfVersion(Reasoned):
    """A change of one version."""

    version: Version


class Share(OfVersion):
    """A share for one version."""

    percent: Percent


class Rollback(Reasoned):
    """Back to which version."""

    to: Version | None = Field(default=None, description="Left out: the one that had all before")


class Warming(_Body):
    """What is warmed."""

    version: Version | None = Field(default=None, description="Left out: the one that answers most")


class VersionEntry(BaseModel):
    """One version of a model."""

    version: str
    digest: str = Field(description="SHA-256 of its weights, hex")
    share: int = Field(description="Percent of the patients whom it answers now")
    share_in_file: int = Field(description="The same as the policy file says it")
    loaded: bool | None = Field(description="Whether the model server has it ready; null if that cannot be found out")


class LastChange(BaseModel):
    """What an operator set last."""

    number: int
    action: Action
    reason: ChangeReason
    note: str
    changed_by: str = Field(description="Key ID; `cli` for an operator at the machine")
    changed_at: datetime


class AdminModel(BaseModel):
    """One model as it is served now."""

    name: str
    task: str
    versions: list[VersionEntry]
    shadow: str | None = Field(description="The version that is given copies")
    shadow_share: int = Field(description="Percent of the requests that are copied")
    fallback: str | None = Field(description="The version that a rollback goes back to")
    changed: LastChange | None = Field(description="null while the policy file holds")


class AdminModels(BaseModel):
    """All models."""

    models: list[AdminModel]


class BatchTime(BaseModel):
    """How long one batch size took."""

    images: int = Field(description="Black images in the batch")
    first_ms: float
    warm_ms: float = Field(description="Median once times were steady")
    rounds: int


class Warmed(BaseModel):
    """By batch size."""

    batches: list[BatchTime]


@router.get("", summary="List models, their versions and shares", responses=problems(*ALWAYS))
async def list_models(joined: Joined) -> AdminModels:
    """What answers now, what is loaded, and who set it."""
    return AdminModels(models=[_entry(standing) for standing in await joined.models.administration.list()])


@router.post("/{name}/canary", summary="Give a version a share of the patients", responses=_PROBLEMS)
async def canary(
    name: Name, wanted: Share, *, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> AdminModel:
    """The version that answers most besides it has the rest. Every worker holds to it within a second."""
    by = await begin(joined, admission)
    done = await joined.models.administration.canary(by, name, wanted.version, wanted.percent, wanted.why)
    exchange.recorded = True
    return _entry(done)


@router.post("/{name}/rollback", summary="Back to the version before", responses=_PROBLEMS)
async def rollback(
    name: Name, wanted: Rollback, *, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> AdminModel:
    """Everyone to the version that had all before, and no shadow. The model server is not asked: it may be sick."""
    by = await begin(joined, admission)
    done = await joined.models.administration.rollback(by, name, wanted.why, wanted.to or "")
    exchange.recorded = True
    return _entry(done)


@router.post("/{name}/shadow", summary="Give a version copies of requests", responses=_PROBLEMS)
async def shadow(
    name: Name, wanted: Share, *, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> AdminModel:
    """What it says is compared and counted, and given to nobody. 0 percent ends it."""
    by = await begin(joined, admission)
    done = await joined.models.administration.shadow(by, name, wanted.version, wanted.percent, wanted.why)
    exchange.recorded = True
    return _entry(done)


@router.post("/{name}/load", summary="Load a version into the model server", responses=_PROBLEMS)
async def load(
    name: Name, wanted: OfVersion, *, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> AdminModel:
    """Its weights are held against the manifest first."""
    by = await begin(joined, admission)
    done = await joined.models.administration.load(by, name, wanted.version, wanted.why)
    exchange.recorded = True
    return _entry(done)


@router.post("/{name}/unload", summary="Take a version from the model server", responses=_PROBLEMS)
async def unload(
    name: Name, wanted: OfVersion, *, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> AdminModel:
    """One that answers, is the shadow, or would be fallen back to stays."""
    by = await begin(joined, admission)
    done = await joined.models.administration.unload(by, name, wanted.version, wanted.why)
    exchange.recorded = True
    return _entry(done)


@router.post("/{name}/warm", summary="Warm a version", responses=_PROBLEMS)
async def warm(name: Name, wanted: Warming, joined: Joined) -> Warmed:
    """Black images at every batch size, until times are steady."""
    found = await joined.models.administration.warm(name, wanted.version or "")
    return Warmed(batches=[_time(each) for each in found])


def _entry(standing: Standing) -> AdminModel:
    offer, served, loaded = standing.offer, standing.served, standing.loaded
    change = standing.change
    return AdminModel(
        name=offer.name,
        task=offer.main.task,
        versions=[
            VersionEntry(
                version=version,
                digest=spec.digest,
                share=served.route.shares.get(version, 0),
                share_in_file=offer.route.shares[version],
                loaded=None if loaded is None else version in loaded,
            )
            for version, spec in offer.versions.items()
        ],
        shadow=served.route.shadow or None,
        shadow_share=served.route.shadow_share,
        fallback=served.fallback or None,
        changed=None
        if change is None
        else LastChange(
            number=change.number,
            action=change.action,
            reason=change.reason,
            note=change.note,
            changed_by=change.changed_by,
            changed_at=change.changed_at,
        ),
    )


def _time(warmth: Warmth) -> BatchTime:
    return BatchTime(
        images=warmth.images,
        first_ms=round(warmth.first * 1000, 2),
        warm_ms=round(warmth.warm * 1000, 2),
        rounds=warmth.rounds,
    )
