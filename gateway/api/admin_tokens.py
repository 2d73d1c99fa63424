"""/v1/admin/tokens: end a token, of an outside issuer or of this gateway, before its time."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.admission import own_issuer
from gateway.admission.tokens import MAX_TEXT
from gateway.api.describe import ALWAYS, OF_RESOURCES, problems
from gateway.api.parts import Admitted, CurrentExchange, Joined, Parts
from gateway.audit.events import RequestStarted, TokenRevoked
from gateway.errors import NotFound

router = APIRouter(tags=["administration"], prefix="/v1/admin/tokens")


class Revocation(BaseModel):
    """Which token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(
        min_length=1,
        max_length=64,
        description="The issuer's name in policies/access.yaml; `cordon` for tokens of this gateway",
    )
    jti: str = Field(min_length=1, max_length=MAX_TEXT, description="The token's `jti`")


@router.post(
    "/revoke",
    summary="End a token now",
    status_code=204,
    responses=problems(*ALWAYS, *OF_RESOURCES),
    response_class=Response,
)
async def revoke_token(wanted: Revocation, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """Every gateway process refuses it within a second. Of issuers and clients of the caller's own tenant only."""
    name, issuer, lifetime = await _issuer_of(wanted, joined, admission.principal.tenant)
    who = admission.request_id, admission.principal.key_id, admission.principal.tenant
    await joined.recorder.record(RequestStarted(*who, route=admission.route, address=admission.address))
    # When it would end by itself is not known here; no token of this issuer lives longer than this.
    ends = datetime.now(UTC) + timedelta(seconds=lifetime)
    await joined.revoked_tokens.revoke(issuer, wanted.jti, expires_at=ends, revoked_by=admission.principal.key_id)
    digest = hashlib.sha256(wanted.jti.encode()).hexdigest()
    await joined.recorder.record(TokenRevoked(*who, issuer=name, token=digest))
    exchange.recorded = True
    return Response(status_code=204)


async def _issuer_of(wanted: Revocation, joined: Parts, tenant: str) -> tuple[str, str, int]:
    """The issuer's name, its ``iss``, and the longest that its tokens live, seconds; if this tenant may see it."""
    if wanted.issuer == own_issuer.NAME and joined.oauth is not None:
        client_id = own_issuer.client_of(wanted.jti)
        client = await joined.clients.find(client_id) if client_id else None
        if client is None or client.tenant != tenant:
            raise NotFound("No such token")
        expected = joined.oauth.issuer.expected
        return own_issuer.NAME, expected.issuer, expected.lifetime_seconds + expected.leeway_seconds
    policy = joined.access.issuers.get(wanted.issuer)
    if policy is None or not policy.serves(tenant):
        raise NotFound("No such issuer")
    return policy.name, policy.issuer, policy.lifetime_seconds + policy.leeway_seconds
