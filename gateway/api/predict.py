"""POST /v1/predict: read the admitted body, hand it to the pipeline, return the answer."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

from gateway.admission.idempotency import HEADER, read_key
from gateway.api.body import read_upload
from gateway.api.connected import while_connected
from gateway.api.describe import (
    ALWAYS,
    ANSWER,
    IDEMPOTENCY_KEY,
    IMAGE_BODY,
    MODEL_VERSION,
    OF_BODIES,
    OF_INFERENCE,
    TIME_LIMIT,
    problems,
)
from gateway.api.exchange import exchange_of
from gateway.api.parts import Admitted, CurrentExchange, Joined
from gateway.api.query import once
from gateway.errors import InvalidParameter, RequestInProgress, UnknownModel, UnknownVersion
from gateway.ingest.frames import MAX_TEXT, FrameSelection
from gateway.respond.answer import PredictAnswer

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

REPLAYED = "Idempotency-Replayed"
PINNED = "X-Model-Version"
"""Names the version that must answer. Beside the query and not in it: a proxy can set it for a whole system."""

_VERSION = re.compile(r"[1-9][0-9]{0,8}")


class PredictQuery(BaseModel):
    """A parameter that is not known is refused: a misspelt one must not silently classify something else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(None, max_length=64, description="Name of a model; see GET /v1/models")
    frames: str | None = Field(
        None, max_length=MAX_TEXT, description="`all` (the default), `middle`, or frame numbers from 1: `1,5,9`"
    )


_NO_QUERY = PredictQuery()


class _Direct(APIRoute):
    """Described like any route, but a request without a query is handed over at once.

    There is nothing in it for FastAPI to read, whose way to a handler costs 0.1 ms of CPU.
    """

    @override
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["query_string"]:
            await super().handle(scope, receive, send)
            return
        admission, exchange = scope["state"]["admission"], exchange_of(scope)
        response = await predict(Request(scope, receive), _NO_QUERY, scope["app"].state.parts, admission, exchange)
        await response(scope, receive, send)


router = APIRouter(tags=["predict"], route_class=_Direct)


@router.post(
    "/v1/predict",
    summary="Classify one image",
    response_model=PredictAnswer,
    responses={
        200: ANSWER,
        **problems(*ALWAYS, UnknownModel, UnknownVersion, *OF_BODIES, *OF_INFERENCE, RequestInProgress),
    },
    openapi_extra={"requestBody": IMAGE_BODY, "parameters": [IDEMPOTENCY_KEY, TIME_LIMIT, MODEL_VERSION]},
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
    version = _pinned(request.headers.getlist(PINNED))
    # An unknown model or version is refused before the body is read.
    model = await joined.models.serving.expected(query.model, version)
    await joined.switches.check_model(model.name)
    await joined.pipeline.expect(admission, model)
    key = read_key(request.headers.getlist(HEADER))
    upload = await read_upload(request.scope, request.receive)
    claim = None
    if key is not None:
        asked = f"{model.name}@{version}" if version else model.name
        said = (asked.encode(), (query.frames or "").encode(), upload.data)
        fingerprint = await asyncio.to_thread(joined.idempotency.fingerprint, *said)
        claim = await joined.idempotency.claim(admission.principal.tenant, key, fingerprint, admission.request_id)
        if claim.answer is not None:
            exchange.replay_of = claim.request_id
            return Response(claim.answer, media_type="application/json", headers={REPLAYED: "true"})
    exchange.recorded = True  # from here on the pipeline records however it ends, or raises that it cannot
    try:
        answered = await while_connected(
            joined.pipeline.predict(admission, upload, frames, query.model, version), request.receive
        )
    except BaseException:
        if claim is not None:
            await asyncio.shield(joined.idempotency.give_up(claim))
        raise
    exchange.steps |= answered.seconds
    exchange.frames = len(answered.answer.frames) or 1
    content = answered.answer.model_dump_json().encode()
    if claim is not None:
        await joined.idempotency.keep(claim, content, admission.request_id)
    return Response(content, media_type="application/json")


def _pinned(values: list[str]) -> str:
    """The version that the caller wants; empty if they name none. Raises InvalidParameter."""
    if not values:
        return ""
    if len(values) > 1 or not _VERSION.fullmatch(values[0]):
        raise InvalidParameter(f"{PINNED} takes one version, a number such as 2", parameter=PINNED)
    return values[0]
