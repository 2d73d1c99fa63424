"""POST /v1/predict: read the admitted body, hand it to the pipeline, return the answer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.body import read_upload
from gateway.api.connected import while_connected
from gateway.api.describe import ALWAYS, ANSWER, IMAGE_BODY, OF_BODIES, OF_INFERENCE, problems
from gateway.api.parts import Admitted, CurrentExchange, Joined
from gateway.api.query import once
from gateway.ingest.frames import MAX_TEXT, FrameSelection
from gateway.respond.prediction import PredictAnswer

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
    model = joined.catalog.resolve(query.model)  # an unknown model is refused before the body is read
    await joined.switches.check_model(model.name)
    upload = await read_upload(request.scope, request.receive)
    exchange.recorded = True  # from here on the pipeline records however it ends, or raises that it cannot
    answered = await while_connected(joined.pipeline.predict(admission, upload, frames, query.model), request.receive)
    exchange.steps |= answered.seconds
    return Response(answered.answer.model_dump_json(), media_type="application/json")
