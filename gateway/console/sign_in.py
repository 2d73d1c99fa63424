"""Signing in to the console and out of it, and the sessions that one has. All of it is on record."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import structlog
from fastapi import APIRouter, Path, Request
from starlette.responses import RedirectResponse, Response

from gateway.admission.access import RouteRule
from gateway.admission.authenticate import CredentialRefused
from gateway.admission.login import SECONDS
from gateway.admission.sessions import clear_cookie, cookie_of, set_cookie
from gateway.api.exchange import header
from gateway.api.parts import Admitted, CurrentExchange, Joined, Parts
from gateway.audit.events import ANONYMOUS, SessionEnded, SessionStarted
from gateway.console.forms import read_form
from gateway.console.pages import HOME, page, session_of
from gateway.errors import AuditUnavailable, Forbidden, GatewayError, QuotaExceeded, Suspended

if TYPE_CHECKING:
    from gateway.admission.login import SignedIn
    from gateway.admission.principal import Principal
    from gateway.admission.sessions import Session
    from gateway.api.exchange import Exchange
    from gateway.audit.denials import Kind

log = structlog.get_logger(__name__)

SCOPE = "console"
KEYS: Literal["key"] = "key"
LOGIN: Literal["login"] = "login"
"""What opens a session: an API key, or a sign-in at an outside issuer of the access policy."""
STARTED = "__Host-cordon-login"
"""The cookie of a sign-in that goes on elsewhere. Lax: the issuer's answer comes from another site."""
_MAX_ANSWER = 2048

_OWN_PATH = re.compile(rf"{HOME}(?!/log)(/[A-Za-z0-9._~/-]*)?(\?[\x21\x23-\x5b\x5d-\x7e]*)?", re.ASCII)
_ROUTE = RouteRule("POST /console/login", SCOPE)
_BROWSERS = (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))

_LAX = "Path=/; Secure; HttpOnly; SameSite=Lax"

router = APIRouter(include_in_schema=False, prefix=HOME)
IssuerName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


@router.get("/login")
async def login_page(request: Request) -> Response:
    """The way in."""
    return page(request, "sign_in.html", next=HOME, message="", lost=False)


@router.post("/login")
async def login(request: Request, joined: Joined, exchange: CurrentExchange) -> Response:
    """Open a session with an API key. One that was open in this browser ends: the ID is always a new one."""
    form = await read_form(request, None)
    text, wanted = form.text("key"), own_path(form.text("next"))
    address = request.client.host if request.client else ""
    try:
        principal = await _known(joined, text, address)
    except (CredentialRefused, Forbidden, QuotaExceeded) as refusal:
        _note_refusal(joined, exchange, refusal, address)
        exchange.problem = refusal.slug
        message = "This is not a valid key" if isinstance(refusal, CredentialRefused) else refusal.detail
        again = page(request, "sign_in.html", refusal.status, next=wanted, message=message, lost=False)
        if refusal.retry_after is not None:
            again.headers["Retry-After"] = str(round(refusal.retry_after) or 1)
        return again
    await _end_former(request, joined)
    session = await joined.sessions.open(KEYS, principal.key_id, joined.api_keys.marks(text), _browser(request))
    started = SessionStarted(exchange.request_id, principal.key_id, principal.tenant, method=KEYS, address=address)
    await _on_record(joined, session, started)
    response = RedirectResponse(wanted, 303)
    response.headers["Set-Cookie"] = set_cookie(session.secret)
    return response


@router.get("/login/with/{issuer}")
async def login_elsewhere(issuer: IssuerName, request: Request, joined: Joined) -> Response:
    """Go and sign in at an issuer."""
    begun = joined.logins.begin(issuer, own_path(request.query_params.get("next", HOME)))
    response = RedirectResponse(begun.address, 303)
    response.headers["Set-Cookie"] = f"{STARTED}={begun.sealed}; Max-Age={SECONDS}; {_LAX}"
    return response


@router.get("/login/back")
async def login_back(request: Request, joined: Joined, exchange: CurrentExchange) -> Response:
    """Back from there. The page that follows asks for the first one as ourselves: a strict cookie comes along then."""
    address = request.client.host if request.client else ""
    try:
        found = await _come_back(joined, request)
    except (CredentialRefused, Forbidden, QuotaExceeded) as refusal:
        _note_refusal(joined, exchange, refusal, address)
        exchange.problem = refusal.slug
        response: Response = page(
            request, "sign_in.html", refusal.status, next=HOME, message=refusal.detail.rstrip("."), lost=False
        )
    else:
        principal = found.principal
        session = await joined.sessions.open(LOGIN, principal.key_id, found.marks, _browser(request))
        await _on_record(
            joined,
            session,
            SessionStarted(exchange.request_id, principal.key_id, principal.tenant, method=LOGIN, address=address),
        )
        response = page(request, "arrive.html", onward=found.onward)
        response.headers.append("Set-Cookie", set_cookie(session.secret))
    response.headers.append("Set-Cookie", f"{STARTED}=; Max-Age=0; {_LAX}")
    return response


@router.post("/logout")
async def logout(request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """End this session."""
    session = session_of(request)
    await read_form(request, session)
    await joined.sessions.close_one(session)
    principal = admission.principal
    await joined.recorder.record(
        SessionEnded(admission.request_id, principal.key_id, principal.tenant, reason="signed-out")
    )
    exchange.recorded = True
    response = RedirectResponse(f"{HOME}/login", 303)
    response.headers["Set-Cookie"] = clear_cookie()
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@router.get("/session")
async def sessions(request: Request, joined: Joined, admission: Admitted) -> Response:
    """The caller's own sessions, and what it may do."""
    found = await joined.sessions.list(admission.principal.key_id)
    return page(request, "session.html", sessions=found, scopes=joined.access.scopes)


@router.post("/session/end-others")
async def end_others(request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """End all of the caller's sessions but this one."""
    session = session_of(request)
    await read_form(request, session)
    await joined.sessions.close_others(session)
    principal = admission.principal
    await joined.recorder.record(
        SessionEnded(admission.request_id, principal.key_id, principal.tenant, reason="others-ended")
    )
    exchange.recorded = True
    return RedirectResponse(f"{HOME}/session", 303)


def own_path(wanted: str) -> str:
    """Where to go after signing in: a path of the console, and nothing else (CWE-601)."""
    return wanted if _OWN_PATH.fullmatch(wanted) else HOME


async def _known(joined: Parts, text: str, address: str) -> Principal:
    """Who has this key, if it may sign in.

    Raises:
        CredentialRefused: It is not good.
        QuotaExceeded: The address failed too often; counted together with the failures at the API.
        Forbidden: It lacks the scope, or is switched off.
    """
    principal = await joined.gate.authenticator.authenticate({"x-api-key": text}, address)
    await _may_sign_in(joined, principal)
    return principal


async def _come_back(joined: Parts, request: Request) -> SignedIn:
    """Who an issuer says is back, if they may sign in.

    Raises:
        CredentialRefused: Nobody.
        Forbidden: The scope is missing, or they are switched off.
    """
    answer = dict(request.query_params)
    sealed = request.cookies.get(STARTED, "")
    if any(len(value) > _MAX_ANSWER for value in answer.values()):
        raise CredentialRefused("The issuer did not sign you in", reason="login-refused")
    found = await joined.logins.finish(sealed, answer, request.client.host if request.client else "")
    await _may_sign_in(joined, found.principal)
    return found


async def _may_sign_in(joined: Parts, principal: Principal) -> None:
    if SCOPE not in principal.scopes:
        raise Forbidden(
            f"This credential may not sign in: it lacks the scope {SCOPE}", scope=SCOPE, key=principal.key_id
        )
    await joined.gate.switches.check(principal, _ROUTE)


async def _on_record(joined: Parts, session: Session, started: SessionStarted) -> None:
    try:
        await joined.recorder.record(started)
    except AuditUnavailable:
        await joined.sessions.close_one(session)  # no record, so no session
        raise


async def _end_former(request: Request, joined: Parts) -> None:
    former = await joined.sessions.find(cookie_of(request.scope["headers"]))
    if former is not None:
        await joined.sessions.close_one(former)


def _note_refusal(joined: Parts, exchange: Exchange, refusal: GatewayError, address: str) -> None:
    kind: Kind = "unauthenticated"
    reason = str(getattr(refusal, "reason", ""))
    if isinstance(refusal, Forbidden):
        kind, reason = "forbidden", "switch" if isinstance(refusal, Suspended) else "scope"
    elif isinstance(refusal, QuotaExceeded):
        kind, reason = "quota", "failed-authentication"
    actor = getattr(refusal, "key_id", None) or refusal.members.get("key") or ANONYMOUS
    log.info("console.sign-in-refused", kind=kind, reason=reason)
    joined.gate.denials.note(
        kind, reason, request_id=exchange.request_id, route=exchange.route, address=address, actor=actor
    )


def _browser(request: Request) -> str:
    """One of a few words: what else a browser tells of itself is not kept."""
    agent = header(request.scope, b"user-agent") or ""
    return next((name for mark, name in _BROWSERS if mark in agent), "Browser")
