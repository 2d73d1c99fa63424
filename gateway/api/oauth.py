"""/oauth/token: a client's signed assertion for a short access token (SMART Backend Services, RFC 6749 §4.4, RFC 7523).

    failures of this address? ─▶ body ─▶ room? ─▶ assertion ─▶ switched off? ─▶ how often? ─▶ scopes ─▶ record ─▶ token

The credential is in the body, so this is the one route that reads a stranger's: 16 KiB of it at most. Nothing else is
spent on an address that has failed too often.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from structlog.contextvars import bind_contextvars

from gateway.admission.assertion import ASSERTION_TYPE, AssertionRefused
from gateway.admission.oauth import KEYS_PATH, TOKEN_PATH, OAuth
from gateway.admission.oauth_errors import InvalidClient, TokenRequestRefused
from gateway.admission.principal import Principal
from gateway.api.describe import TOKEN_REQUEST, problems
from gateway.api.exchange import exchange_of, header
from gateway.api.oauth_form import read_form
from gateway.api.parts import CurrentExchange, Joined, Parts
from gateway.audit.events import ANONYMOUS, TokenIssued
from gateway.errors import (
    BodyTimeout,
    BodyTooLarge,
    DependencyError,
    MalformedBody,
    NotFound,
    QuotaExceeded,
    Suspended,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.admission.client_record import ClientRecord
    from gateway.api.exchange import Exchange
    from gateway.audit.denials import Kind

log = structlog.get_logger(__name__)

router = APIRouter(tags=["tokens"])
GRANT_TYPE = "client_credentials"


class AccessTokenAnswer(BaseModel):
    """RFC 6749 §5.1."""

    access_token: str = Field(description="Send it as `Authorization: Bearer ...`")
    token_type: str = Field(default="bearer")
    expires_in: int = Field(description="Seconds")
    scope: str = Field(description="What the token may do, by the names that were asked for")


class KeySet(BaseModel):
    """A JWK set (RFC 7517)."""

    keys: list[dict[str, str]]


@router.post(
    TOKEN_PATH,
    summary="Get an access token",
    responses=problems(
        TokenRequestRefused,
        MalformedBody,
        InvalidClient,
        NotFound,
        BodyTimeout,
        BodyTooLarge,
        QuotaExceeded,
        DependencyError,
    ),
    openapi_extra={"requestBody": TOKEN_REQUEST},
)
async def give_token(request: Request, joined: Joined, exchange: CurrentExchange) -> AccessTokenAnswer:
    """For a client that was registered with its public keys and sends an assertion that one of them signed."""
    oauth = _offered(joined)
    address = request.scope["client"][0] if request.scope.get("client") else ""
    with _denials_noted(joined, oauth, exchange, address):
        oauth.failures.check(address)
        form = await read_form(request.scope, request.receive)
        if header(request.scope, b"authorization") is not None or "client_secret" in form:
            raise TokenRequestRefused("A client authenticates by its assertion alone")
        if (grant := form.get("grant_type")) != GRANT_TYPE:
            if grant is None:
                raise TokenRequestRefused("grant_type is missing")
            raise TokenRequestRefused(f"The grant type must be {GRANT_TYPE}", error="unsupported_grant_type")
        return await _given(joined, oauth, form, request, address)


@router.get(KEYS_PATH, summary="The keys that sign access tokens", responses=problems(NotFound))
async def key_set(joined: Joined) -> KeySet:
    """For whoever wants to verify a token; the gateway itself needs no look at this."""
    return KeySet.model_validate(_offered(joined).keys.document)


@router.get("/.well-known/oauth-authorization-server", summary="RFC 8414 metadata", responses=problems(NotFound))
async def metadata(joined: Joined) -> dict[str, Any]:
    """Where tokens are to be had, and how."""
    return _offered(joined).metadata(joined.access.grantable)


@router.get("/.well-known/smart-configuration", summary="SMART App Launch metadata", responses=problems(NotFound))
async def smart_configuration(joined: Joined) -> dict[str, Any]:
    """The same for clients of SMART App Launch; of its capabilities there is one."""
    # SMART wants S256 listed by every server; it is for an authorization endpoint, of which there is none.
    more = {"capabilities": ["client-confidential-asymmetric"], "code_challenge_methods_supported": ["S256"]}
    return _offered(joined).metadata(joined.access.grantable) | more


async def _given(
    joined: Parts, oauth: OAuth, form: dict[str, str], request: Request, address: str
) -> AccessTokenAnswer:
    exchange = exchange_of(request.scope)
    is_assertion = form.get("client_assertion_type") == ASSERTION_TYPE
    seen = oauth.assertions.look(form.get("client_assertion", "") if is_assertion else "")
    oauth.failures.check(address, seen.issuer)
    with oauth.turns.take(seen.issuer):
        client, claims = await oauth.assertions.verify(seen)
        if form.get("client_id", client.client_id) != client.client_id:
            raise AssertionRefused("client", client)
        principal = exchange.principal = _principal(client)
        bind_contextvars(key_id=principal.key_id, tenant=principal.tenant)
        await joined.switches.check(principal, joined.gate.match(request.scope))
        decision = await joined.gate.limiter.acquire(
            principal, exchange.request_id, lease_seconds=joined.gate.lease_seconds
        )
        try:
            exchange.headers += decision.headers
            await oauth.assertions.use(client, claims)
            scopes, names = oauth.granted(client, form.get("scope", ""))
            token = oauth.issuer.give(client, scopes)
            who = exchange.request_id, client.client_id, client.tenant
            granted = tuple(sorted(scopes))
            await joined.recorder.record(
                TokenIssued(*who, address=address, token=token.token_id, scopes=granted, seconds=token.seconds)
            )
        finally:
            await joined.gate.limiter.release(principal, exchange.request_id)
    oauth.failures.succeeded(address, client.client_id)
    return AccessTokenAnswer(access_token=token.text, expires_in=token.seconds, scope=names)


def _offered(joined: Parts) -> OAuth:
    if joined.oauth is None:
        raise NotFound("This gateway gives no tokens")
    return joined.oauth


def _principal(client: ClientRecord) -> Principal:
    return Principal(client.client_id, client.owner, client.tenant, client.scopes, client.plan)


@contextmanager
def _denials_noted(joined: Parts, oauth: OAuth, exchange: Exchange, address: str) -> Iterator[None]:
    """Count a refusal, for the address's sake and for the audit log, and say why in the log."""

    def note(kind: Kind, reason: str, client_id: str = "", tenant: str = "") -> None:
        principal = exchange.principal
        actor = principal.key_id if principal else client_id or ANONYMOUS
        tenant = principal.tenant if principal else tenant
        log.info("admission.denied", kind=kind, reason=reason, route=exchange.route, key_id=actor)
        joined.gate.denials.note(
            kind, reason, request_id=exchange.request_id, route=exchange.route, address=address, actor=actor,
            tenant=tenant,
        )  # fmt: skip

    try:
        yield
    except AssertionRefused as refusal:
        oauth.failures.failed(address)
        client = refusal.client
        known = (client.client_id, client.tenant) if client else ("", "")
        note("unauthenticated", f"assertion-{refusal.reason}", *known)
        raise InvalidClient from None
    except Suspended:
        note("forbidden", "switch")
        raise TokenRequestRefused("This client is suspended by the operator", error="unauthorized_client") from None
    except QuotaExceeded as refusal:
        note("quota", "+".join(refusal.members.get("violated-policies", ())))
        raise
    except TokenRequestRefused as refusal:
        if refusal.members["error"] == "invalid_scope":
            note("forbidden", "scope")
        raise
