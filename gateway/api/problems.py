"""Around all steps: the one place where an error becomes an answer (RFC 9457), whoever raised it.

A framework's error text may quote the request; so of a framework's error only its kind is kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.api.exchange import exchange_of
from gateway.errors import (
    BodyTooLarge,
    CallerError,
    GatewayError,
    HeadTooLarge,
    InternalError,
    InvalidParameter,
    MalformedBody,
    MethodNotAllowed,
    NotFound,
    Unauthenticated,
    UnsupportedMediaType,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import Scope

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
REALM = "cordon"
MAX_FAULTS = 10

_BY_STATUS: dict[int, type[GatewayError]] = {
    kind.status: kind
    for kind in (MalformedBody, NotFound, MethodNotAllowed, BodyTooLarge, UnsupportedMediaType, InvalidParameter)
} | {431: HeadTooLarge}

# pydantic's messages for these name limits and types only; others quote the input or a part of it.
_QUOTABLE = frozenset(
    {
        "bool_parsing", "bool_type", "extra_forbidden", "greater_than", "greater_than_equal", "int_parsing", "int_type",
        "less_than", "less_than_equal", "list_type", "literal_error", "missing", "model_attributes_type",
        "string_pattern_mismatch", "string_too_long", "string_too_short", "string_type", "timezone_aware", "too_long",
        "too_short",
    }
)  # fmt: skip


def problem_response(scope: Scope, error: GatewayError) -> Response:
    """The answer to an error; notes the problem on the exchange."""
    exchange = exchange_of(scope)
    exchange.problem = error.slug
    headers: dict[str, str] = dict(getattr(error, "headers", ()))
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = f'Bearer realm="{REALM}"'  # RFC 9110 §15.5.2 asks for it
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.members.get("allow", ()))  # RFC 9110 §15.5.6
    if exchange.page is not None:  # someone with a browser
        page = exchange.page(scope, error)
        page.headers.update(headers)
        return page
    body = orjson.dumps(error.problem(exchange.request_id))
    return Response(body, error.status, headers, getattr(error, "media_type", MEDIA_TYPE))


def as_gateway_error(error: Exception) -> GatewayError:
    """Each thing that can be raised, as the one error that the caller is told. A defect is logged, without values."""
    match error:
        case GatewayError():
            return error
        case RequestValidationError():
            return invalid(error.errors())
        case HTTPException():
            # FastAPI wraps whatever a body's reading raises into a 400.
            if isinstance(error.__cause__, GatewayError):
                return error.__cause__
            return from_status(error.status_code)
    # Starlette wraps what is raised after the answer has begun.
    if isinstance(error.__cause__, GatewayError):
        return error.__cause__
    log.error("http.defect", error=type(error).__name__, exc_info=error)
    return InternalError()


def from_status(status: int) -> GatewayError:
    """The error that stands for a framework's status code."""
    if (kind := _BY_STATUS.get(status)) is not None:
        return kind()
    return CallerError() if 400 <= status < 500 else InternalError()


def invalid(faults: Sequence[Any]) -> InvalidParameter:
    """A validation error without the input: where, what kind, and pydantic's message where that quotes nothing."""
    told = [_told(fault) for fault in faults[:MAX_FAULTS]]
    first = told[0] if told else {"at": "request", "message": "does not fit"}
    return InvalidParameter(f"{first['at']}: {first['message']}", errors=told)


def _told(fault: dict[str, Any]) -> dict[str, str]:
    kind = str(fault["type"])
    place = [str(part) for part in fault["loc"]]
    if kind == "extra_forbidden":
        place[-1] = "(a name that is not known)"  # the name itself came from the caller
    if kind == "json_invalid":
        place = place[:1]
    message = str(fault["msg"]) if kind in _QUOTABLE else "does not fit"
    return {"at": ".".join(place), "kind": kind, "message": message}


async def _answer(request: Request, error: Exception) -> Response:
    return problem_response(request.scope, as_gateway_error(error))


def install(app: FastAPI) -> None:
    """Have the application answer its errors this way, those of its framework included."""
    for kind in (GatewayError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _answer)
