"""How loud the one line of a request is: whoever is told to come later on purpose is no error of ours."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from gateway.api.context import ContextMiddleware
from gateway.api.exchange import exchange_of
from gateway.api.problems import problem_response
from gateway.draining import Draining
from gateway.errors import (
    AuditUnavailable,
    GatewayError,
    InternalError,
    Overloaded,
    QuotaExceeded,
    ShuttingDown,
    SwitchedOff,
)


async def level_of(error: GatewayError) -> str:
    async def app(scope, receive, send):
        await problem_response(scope, error)(scope, receive, send)
        assert exchange_of(scope).problem == error.slug

    async def nothing(*_):
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "scheme": "http", "http_version": "1.1"}
    with capture_logs() as lines:
        await ContextMiddleware(app, Draining(0, 1))(scope, nothing, nothing)
    [line] = [line for line in lines if line["event"] == "http.answered"]
    return line["log_level"]


@pytest.mark.parametrize("kind", [QuotaExceeded, Overloaded, ShuttingDown, SwitchedOff])
async def test_a_refusal_by_plan_is_information(kind):
    assert await level_of(kind("later")) == "info"


@pytest.mark.parametrize("kind", [InternalError, AuditUnavailable])
async def test_what_failed_is_an_error(kind):
    assert await level_of(kind()) == "error"
