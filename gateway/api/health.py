"""GET /health: the process runs. GET /readiness: it can serve, by dependency and by model."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from gateway.api.describe import problems
from gateway.api.parts import Joined
from gateway.errors import DependencyError, ShuttingDown

router = APIRouter(tags=["health"])
State = Literal["ok", "unavailable"]


class Alive(BaseModel):
    """The process runs."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """Requests can be served."""

    status: Literal["ready"] = "ready"
    dependencies: dict[str, State]
    models: dict[str, State]


@router.get("/health", summary="Is the process alive?")
async def health() -> Alive:
    """Says nothing of the dependencies: restarting this process mends none of them."""
    return Alive()


@router.get("/readiness", summary="Can requests be served?", responses=problems(DependencyError, ShuttingDown))
async def readiness(joined: Joined) -> Ready:
    """Each dependency and each model; a problem document with the same members if anything is missing."""
    now = await joined.health.readiness()
    if now.draining:
        raise ShuttingDown("Not ready: this process is ending", dependencies=now.dependencies, models=now.models)
    if not now.ready:
        raise DependencyError("Not ready", dependencies=now.dependencies, models=now.models)
    return Ready.model_validate({"dependencies": now.dependencies, "models": now.models})
