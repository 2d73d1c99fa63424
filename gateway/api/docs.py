"""GET /openapi.json and /docs: the API's description. Who may read it, the access policy says, as for any route."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, JSONResponse

from gateway.api.describe import DONE_ONCE_KEY, OF_BODIES, PROBLEM_SCHEMA, SECURITY_SCHEMES, problems
from gateway.api.once import ROUTES as DONE_ONCE
from gateway.errors import AlreadyDone, RequestInProgress

if TYPE_CHECKING:
    from fastapi import FastAPI

    from gateway.admission.access import AccessPolicy

router = APIRouter(include_in_schema=False)

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_ASSETS = "https://cdn.jsdelivr.net"
_OWN_ERRORS = {"POST /oauth/token"}  # RFC 6749 §5.2 has a form for them


@router.get("/openapi.json")
async def openapi(request: Request) -> JSONResponse:
    """OpenAPI 3.1."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def docs() -> HTMLResponse:
    """Swagger UI. Its own script is allowed by its hash, the rest from where its assets are."""
    page = get_swagger_ui_html(openapi_url="openapi.json", title="Cordon", swagger_favicon_url="data:,")
    text = bytes(page.body).decode()
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in _INLINE_SCRIPT.findall(text))
    policy = (
        f"default-src 'none'; script-src {_ASSETS} {hashes}; style-src {_ASSETS} 'unsafe-inline'; img-src data:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


def describe(app: FastAPI, policy: AccessPolicy) -> None:
    """Have the application describe itself with our problems, our credentials, and the scope that each route needs."""
    scopes = {rule.route: rule.scope for rule in policy}

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
            components["securitySchemes"] = SECURITY_SCHEMES
            for path, operations in schema["paths"].items():
                for method, operation in operations.items():
                    route = f"{method.upper()} {path}"
                    scope = scopes.get(route)
                    _add_problems(operation, route)
                    operation["security"] = [{name: []} for name in SECURITY_SCHEMES] if scope else []
                    if scope:
                        operation["description"] = f"{operation.get('description', '')}\n\nScope: `{scope}`".strip()
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign] # FastAPI's own documented way to extend it


def _add_problems(operation: dict[str, Any], route: str) -> None:
    """Those that the door answers, whatever the route itself says."""
    answers = operation["responses"]
    if "requestBody" in operation and route not in _OWN_ERRORS:
        for status, told in problems(*OF_BODIES).items():
            answers.setdefault(str(status), told)
    if route in DONE_ONCE:
        operation.setdefault("parameters", []).append(DONE_ONCE_KEY)
        answers.setdefault("409", problems(RequestInProgress, AlreadyDone)[409])


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
