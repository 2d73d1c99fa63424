"""/v1/admin/tokens: end a token of an outside issuer before its time."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.admission.tokens import MAX_TEXT
from gateway.api.describe import ALWAYS, OF_RESOURCES, problems
from gateway.api.parts import Admitted, CurrentExchange, Joined
from gateway.audit.events import RequestStarted, TokenRevoked
from gateway.errors import NotFound

router = APIRouter(tags=["administration"], prefix="/v1/admin/tokens")


class Revocation(BaseModel):
    """Which token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(min_length=1, max_length=64, description="The issuer's name in policies/access.yaml")
    jti: str = Field(min_length=1, max_length=MAX_TEXT, description="The token's `jti`")


@router.post(
    "/revoke",
    summary="End a token now",
    status_code=204,
    responses=problems(*ALWAYS, *OF_RESOURCES),
    response_class=Response,
)
async def revoke_token(wanted: Revocation, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """Every gateway process refuses it within a second. Of issuers that serve the caller's own tenant only."""
    issuer = joined.access.issuers.get(wanted.issuer)
    if issuer is None or not issuer.serves(admission.principal.tenant):
        raise NotFound("No such issuer")
    who = admission.request_id, admission.principal.key_id, admission.principal.tenant
    await joined.recorder.record(RequestStarted(*who, route=admission.route, address=admission.address))
    # When it would end by itself is not known here; no token of this issuer lives longer than this.
    ends = datetime.now(UTC) + timedelta(seconds=issuer.lifetime_seconds + issuer.leeway_seconds)
    await joined.revoked_tokens.revoke(
        issuer.issuer, wanted.jti, expires_at=ends, revoked_by=admission.principal.key_id
    )
    digest = hashlib.sha256(wanted.jti.encode()).hexdigest()
    await joined.recorder.record(TokenRevoked(*who, issuer=issuer.name, token=digest))
    exchange.recorded = True
    return Response(status_code=204)
