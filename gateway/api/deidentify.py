"""POST /v1/deidentify: read the admitted body, hand it to the pipeline, give the object back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.body import read_upload
from gateway.api.connected import while_connected
from gateway.api.describe import ALWAYS, IMAGE_BODY, OBJECT, OF_BODIES, TIME_LIMIT, problems
from gateway.api.exchange import header
from gateway.api.object_response import ObjectResponse
from gateway.api.parts import Admitted, CurrentExchange, Joined
from gateway.api.query import once
from gateway.errors import DeadlineExceeded

RELATED = "multipart/related"
router = APIRouter(tags=["deidentify"])


class DeidentifyQuery(BaseModel):
    """A parameter that is not known is refused: a misspelt policy must not silently be another one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: str | None = Field(
        None,
        max_length=64,
        description="Name of a policy on offer; the installation's own one unless given. "
        "Another one than that needs the scope `deidentify:NAME`",
    )


@router.post(
    "/v1/deidentify",
    summary="De-identify one object",
    response_class=Response,
    responses={200: OBJECT, **problems(*ALWAYS, *OF_BODIES, DeadlineExceeded)},
    openapi_extra={"requestBody": IMAGE_BODY, "parameters": [TIME_LIMIT]},
)
async def deidentify(
    request: Request,
    query: Annotated[DeidentifyQuery, Query()],
    joined: Joined,
    admission: Admitted,
    exchange: CurrentExchange,
) -> Response:
    """Remove what identifies the patient, give back the object in its own media type, and say what was removed.

    Objects without an image are welcome: reports, plans, presentation states. The same object under the same policy and
    key gives the same bytes, so it may be sent again. `Accept: multipart/related` asks for the whole report as a part.
    """
    once(request.scope)
    policy = joined.deid_policies.resolve(query.policy, admission.principal.scopes)  # before the body is read
    upload = await read_upload(request.scope, request.receive)

    def make_room(size: int) -> None:
        """The answer shares the memory of all bodies until its caller has read it."""
        joined.gate.inflight.reserve(admission.principal.key_id, size)
        exchange.answer_bytes = size

    exchange.recorded = True  # from here on the pipeline records however it ends, or raises that it cannot
    work = joined.pipeline.deidentify(
        admission, upload, policy, multipart=_wants_parts(header(request.scope, b"accept") or ""), make_room=make_room
    )
    done = await while_connected(work, request.receive)
    exchange.steps |= done.seconds
    exchange.frames = done.frames
    return ObjectResponse(done.answer, joined.gate.answer_seconds)


def _wants_parts(accept: str) -> bool:
    """Whether multipart/related is named, and not with a weight of 0 (RFC 9110 §12.5.1).

    Other wishes cannot be met: the object keeps its media type. They are not refused, as §12.5.1 leaves open.
    """
    for offer in accept.lower().split(","):
        media_type, *parameters = (part.strip() for part in offer.split(";"))
        if media_type == RELATED:
            return not any(part.startswith("q=") and not part[2:].strip("0.") for part in parameters)
    return False
