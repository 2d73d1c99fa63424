"""The console's pages: templates with what every page needs. All that is shown is escaped."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from gateway import __version__
from gateway.api.exchange import exchange_of
from gateway.console import words
from gateway.errors import CallerError, GatewayError, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.responses import Response
    from starlette.types import Scope

    from gateway.admission.sessions import Session

HERE = Path(__file__).parent
STATIC = HERE / "static"
HOME = "/console"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the navigation.

    Attributes:
        path: Where it leads.
        title: What it is called.
        scope: Who may go there.
    """

    path: str
    title: str
    scope: str


NAVIGATION = (
    Entry(HOME, "Overview", "console"),
    Entry("/console/try", "Try it", "predict"),
    Entry("/console/keys", "Keys", "keys:read"),
    Entry("/console/requests", "Requests", "keys:read"),
    Entry("/console/clients", "Clients", "clients:read"),
    Entry("/console/audit", "Audit", "audit:read"),
    Entry("/console/policies", "Policies", "policies:read"),
    Entry("/console/switches", "Switches", "switches:read"),
)


class Pages:
    """Draws. One a process; holds no data of anyone.

    Args:
        issuers: Names of those at which people may sign in.
    """

    def __init__(self, issuers: Collection[str] = ()) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,  # every template is a page, whatever its file is called
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters |= words.FILTERS
        # A new version's files have new addresses: what a browser kept of the old ones is not used with new pages.
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()))).hexdigest()[:12]
        self._templates.globals |= {"build": digest, "version": __version__, "home": HOME, "issuers": tuple(issuers)}

    def draw(self, scope: Scope, template: str, status: int = 200, /, **values: Any) -> HTMLResponse:
        """A page, or the part of one that a template is.

        Args:
            scope: The request's.
            template: Its file's name.
            status: Of the answer.
            values: What the template shows.
        """
        exchange = exchange_of(scope)
        session: Session | None = scope["state"].get("session")
        principal = exchange.principal if session is not None else None
        rights: Collection[str] = principal.scopes if principal else ()
        known = {
            "principal": principal,
            "session": session,
            "rights": rights,
            "navigation": [entry for entry in NAVIGATION if entry.scope in rights],
            "path": scope["path"],
            "request_id": exchange.request_id,
            "now": datetime.now(UTC),
        }
        return HTMLResponse(self._templates.get_template(template).render(known | values), status)

    def error(self, scope: Scope, error: GatewayError) -> Response:
        """An error as a page; to a script of ours, as the part of a page that holds messages."""
        if isinstance(error, Unauthenticated):
            return self._sign_in(scope, error)
        template = "_message.html" if from_script(scope) else "error.html"
        return self.draw(scope, template, error.status, error=error, mendable=isinstance(error, CallerError))

    def _sign_in(self, scope: Scope, error: GatewayError) -> Response:
        """The way in, at the address that was asked for, so that one comes back to it."""
        scope["state"].pop("session", None)
        headers = dict(scope["headers"])
        if scope["method"] == "GET" and headers.get(b"sec-fetch-site") == b"cross-site" and b"cookie" not in headers:
            # A link of another site leads here, and the cookie is kept from such a request: ask again, as ourselves.
            return self.draw(scope, "arrive.html", error.status)
        if from_script(scope):  # the page around it is of no use any more
            response = HTMLResponse("", error.status)
            response.headers["HX-Refresh"] = "true"
            return response
        query = scope["query_string"].decode("latin-1")
        wanted = scope["path"] + (f"?{query}" if query else "")
        asked = scope["method"] == "GET"
        return self.draw(
            scope,
            "sign_in.html",
            error.status,
            next=wanted if asked else HOME,
            message="" if asked and _reason(error) == "session-missing" else error.detail,
            lost=not asked,
        )


def from_script(scope: Scope) -> bool:
    """Whether htmx asks, for a part of a page. A page's own address asked for anew gets the page."""
    headers = dict(scope["headers"])
    return headers.get(b"hx-request") == b"true" and headers.get(b"hx-history-restore-request") != b"true"


def pages_of(request: Request) -> Pages:
    """The process's."""
    pages: Pages = request.app.state.pages
    return pages


def page(request: Request, template: str, status: int = 200, /, **values: Any) -> HTMLResponse:
    """A page of the process's ``Pages``."""
    return pages_of(request).draw(request.scope, template, status, **values)


def session_of(request: Request) -> Session:
    """Who is signed in. Behind admission someone is."""
    session: Session = request.scope["state"]["session"]
    return session


def _reason(error: GatewayError) -> str:
    return str(getattr(error, "reason", ""))
