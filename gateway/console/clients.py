"""Clients: systems that sign in with a key pair of their own. The same calls as ``/v1/admin/clients``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from gateway.api import admin_clients
from gateway.api.admin_clients import ClientId, ClientWanted, KeysWanted, ListQuery
from gateway.api.parts import Admitted, CurrentExchange, Joined, Parts
from gateway.api.query import once
from gateway.console.forms import expiry, fitting, read_form
from gateway.console.issuing import LIFETIMES
from gateway.console.pages import HOME, page, session_of
from gateway.errors import CallerError, InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admission.principal import Admission
    from gateway.api.admin_clients import ClientEntry
    from gateway.console.forms import Form

PATH = f"{HOME}/clients"
MOST = 1000
"""Clients that the list shows at most, the newest."""
DONE = {
    "registered": "The client is registered: it asks for tokens under its ID below.",
    "keys": "The client has other keys now. Tokens that it was given go on to their end.",
    "disabled": "The client is disabled, and so are its tokens.",
    "enabled": "The client may come in again.",
}
"""What a page says after a change, by a word in its address."""

router = APIRouter(include_in_schema=False, prefix=PATH)


@router.get("")
async def clients(request: Request, joined: Joined, admission: Admitted) -> Response:
    """The clients of the caller's tenant."""
    found = await admin_clients.list_clients(request, ListQuery(limit=MOST), joined, admission)
    return page(request, "clients.html", clients=found.clients, tokens=joined.oauth is not None)


@router.get("/new")
async def new_client(request: Request, joined: Joined, admission: Admitted) -> Response:
    """The form of a new client."""
    return _form(request, joined, admission)


@router.post("")
async def register(request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """Register a client."""
    form = await read_form(request, session_of(request))
    try:
        wanted = fitting(
            ClientWanted,
            owner=form.text("owner"),
            plan=form.text("plan"),
            roles=form.all("role"),
            scopes=form.all("scope"),
            expires_at=expiry(form.text("days")),
            note=form.text("note"),
            **_keys(form),
        )
        client = await admin_clients.register_client(wanted, joined, admission, exchange)
    except CallerError as error:
        exchange.problem = error.slug
        return _form(request, joined, admission, error=error, form=form)
    return RedirectResponse(f"{PATH}/{client.client_id}?done=registered", 303)


@router.get("/{client_id}")
async def client(client_id: ClientId, request: Request, joined: Joined, admission: Admitted) -> Response:
    """One client, and what can be done with it."""
    once(request.scope)
    shown = await admin_clients.show_client(client_id, joined, admission)
    return _detail(request, joined, shown, said=DONE.get(request.query_params.get("done", ""), ""))


@router.post("/{client_id}/keys")
async def replace_keys(
    client_id: ClientId, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """Give it other public keys."""
    form = await read_form(request, session_of(request))
    try:
        await admin_clients.replace_keys(client_id, fitting(KeysWanted, **_keys(form)), joined, admission, exchange)
    except InvalidParameter as error:
        exchange.problem = error.slug
        shown = await admin_clients.show_client(client_id, joined, admission)
        return _detail(request, joined, shown, error=error, form=form)
    return RedirectResponse(f"{PATH}/{client_id}?done=keys", 303)


@router.post("/{client_id}/disable")
async def disable(
    client_id: ClientId, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """Refuse it and its tokens."""
    await read_form(request, session_of(request))
    await admin_clients.disable_client(client_id, joined, admission, exchange)
    return RedirectResponse(f"{PATH}/{client_id}?done=disabled", 303)


@router.post("/{client_id}/enable")
async def enable(
    client_id: ClientId, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """Let it in again."""
    await read_form(request, session_of(request))
    await admin_clients.enable_client(client_id, joined, admission, exchange)
    return RedirectResponse(f"{PATH}/{client_id}?done=enabled", 303)


@router.post("/{client_id}/remove")
async def remove(
    client_id: ClientId, request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange
) -> Response:
    """For good."""
    await read_form(request, session_of(request))
    await admin_clients.remove_client(client_id, joined, admission, exchange)
    return RedirectResponse(PATH, 303)


def _keys(form: Form) -> dict[str, Any]:
    """The JWK set, or where one is, as the API takes them.

    Raises:
        InvalidParameter: What stands for a set is no JSON object.
    """
    text = form.text("jwks")
    if not text:
        return {"jwks": None, "jwks_url": form.text("jwks_url")}
    try:
        keys = json.loads(text)
    except (ValueError, RecursionError):
        keys = None
    if not isinstance(keys, dict):
        raise InvalidParameter('A JWK set is a JSON object: {"keys": [...]}', parameter="jwks")
    return {"jwks": keys, "jwks_url": form.text("jwks_url")}


def _form(
    request: Request, joined: Parts, admission: Admission, *, error: CallerError | None = None, form: Form | None = None
) -> Response:
    givable = {*joined.access.grantable, *admission.principal.scopes}
    return page(
        request,
        "client_new.html",
        error.status if error else 200,
        roles={name: sorted(scopes) for name, scopes in joined.access.roles.items() if scopes <= givable},
        scopes={name: text for name, text in joined.access.scopes.items() if name in givable},
        plans=[(name, joined.plans[name]) for name in sorted(joined.plans)],
        lifetimes=LIFETIMES,
        error=error,
        form=form,
    )


def _detail(
    request: Request,
    joined: Parts,
    shown: ClientEntry,
    *,
    said: str = "",
    error: CallerError | None = None,
    form: Form | None = None,
) -> Response:
    keys: list[Mapping[str, Any]] = (shown.jwks or {}).get("keys", [])
    return page(
        request,
        "client.html",
        error.status if error else 200,
        client=shown,
        keys=keys,
        scopes=joined.access.scopes,
        issuer=joined.oauth is not None,
        said=said,
        error=error,
        form=form,
        ended=shown.expires_at is not None and shown.expires_at <= datetime.now(UTC),
    )
