"""POST /v1/predict: read the admitted body, hand it to the pipeline, return the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from gateway.api.body import read_upload
from gateway.api.describe import ALWAYS, ANSWER, IMAGE_BODY, OF_BODIES, OF_INFERENCE, problems
from gateway.api.parts import Admitted, CurrentExchange, Joined
from gateway.api.query import once
from gateway.ingest.frames import MAX_TEXT, FrameSelection
from gateway.respond.prediction import PredictAnswer

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.types import Receive

Result = TypeVar("Result")
router = APIRouter(tags=["predict"])


class PredictQuery(BaseModel):
    """A parameter that is not known is refused: a misspelt one must not silently classify something else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(None, max_length=64, description="Name of a model; see GET /v1/models")
    frames: str | None = Field(
        None, max_length=MAX_TEXT, description="`all` (the default), `middle`, or frame numbers from 1: `1,5,9`"
    )


@router.post(
    "/v1/predict",
    summary="Classify one image",
    response_model=PredictAnswer,
    responses={200: ANSWER, **problems(*ALWAYS, *OF_BODIES, *OF_INFERENCE)},
    openapi_extra={"requestBody": IMAGE_BODY},
)
async def predict(
    request: Request,
    query: Annotated[PredictQuery, Query()],
    joined: Joined,
    admission: Admitted,
    exchange: CurrentExchange,
) -> Response:
    """Remove what identifies the patient, classify what is left, and say what was removed."""
    once(request.scope)
    frames = FrameSelection.parse(query.frames)
    joined.catalog.resolve(query.model)  # an unknown model is refused before the body is read
    upload = await read_upload(request.scope, request.receive)
    exchange.recorded = True  # from here on the pipeline records however it ends, or raises that it cannot
    answered = await while_connected(joined.pipeline.predict(admission, upload, frames, query.model), request.receive)
    exchange.steps |= answered.seconds
    return Response(answered.answer.model_dump_json(), media_type="application/json")


async def while_connected(work: Coroutine[None, None, Result], receive: Receive) -> Result:
    """Do the work, and stop it when the caller goes away: nobody waits for its answer.

    Raises:
        starlette.requests.ClientDisconnect: The caller went away; the work has ended.
    """
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
