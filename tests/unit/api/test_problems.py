"""Each thing that can be raised, as the one error that the caller is told."""

from __future__ import annotations

import json

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException

from gateway.admission import oauth_errors
from gateway.api.exchange import begin, exchange_of
from gateway.api.problems import as_gateway_error, invalid, problem_response
from gateway.errors import (
    BodyTooLarge,
    GatewayError,
    InternalError,
    MethodNotAllowed,
    ModelUnavailable,
    NotFound,
    QuotaExceeded,
    Unauthenticated,
)

CANARY = "ZqxjKw"


def kinds(root: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in kinds(child))]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_error_is_a_problem(kind):
    scope: dict[str, object] = {}
    begin(scope, "6e4f2c9e-55a5-4d3c-9c57-0d4f6a6a2d51")
    response = problem_response(scope, kind())
    document = json.loads(bytes(response.body))
    own = kind.__module__ == oauth_errors.__name__  # RFC 6749 §5.2 names the type of its errors
    assert response.media_type == ("application/json" if own else "application/problem+json")
    assert (document["status"], response.status_code) == (kind.status, kind.status)
    assert document["instance"] == "urn:uuid:6e4f2c9e-55a5-4d3c-9c57-0d4f6a6a2d51"
    assert {"type", "title", "detail"} <= document.keys()
    assert exchange_of(scope).problem == kind.slug


def headers(error: GatewayError) -> dict[str, str]:
    scope: dict[str, object] = {}
    begin(scope, "r-12345678")
    return dict(problem_response(scope, error).headers)


def test_headers_that_belong_to_an_error():
    assert headers(Unauthenticated())["www-authenticate"] == 'Bearer realm="cordon"'
    assert headers(MethodNotAllowed(allow=["GET", "HEAD"]))["allow"] == "GET, HEAD"
    assert headers(ModelUnavailable())["retry-after"] == "5"
    assert headers(QuotaExceeded(retry_after=0.2))["retry-after"] == "1"
    assert headers(QuotaExceeded(retry_after=2.1))["retry-after"] == "3"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, NotFound), (405, MethodNotAllowed), (413, BodyTooLarge), (418, GatewayError), (500, InternalError)],
)
def test_a_frameworks_error_keeps_its_status_and_loses_its_text(status, kind):
    error = as_gateway_error(HTTPException(status, CANARY))
    assert isinstance(error, kind)
    assert CANARY not in error.detail


def test_our_error_is_found_below_the_frameworks():
    wrapped = HTTPException(400, "There was an error parsing the body")
    wrapped.__cause__ = BodyTooLarge("At most 10 bytes are taken")
    assert isinstance(as_gateway_error(wrapped), BodyTooLarge)


def test_a_defect_tells_the_caller_nothing():
    assert as_gateway_error(ValueError(CANARY)).detail == ""


def test_a_validation_error_does_not_repeat_the_input():
    class Inner(BaseModel):
        model_config = ConfigDict(extra="forbid")
        count: int

    class Outer(BaseModel):
        model_config = ConfigDict(extra="forbid")
        inner: list[Inner]
        id: __import__("uuid").UUID

    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"inner": [{"count": CANARY, CANARY: 1}], "id": CANARY, f"{CANARY}x": CANARY})
    error = invalid(RequestValidationError(caught.value.errors()).errors())
    document = json.dumps(error.problem("r-12345678"))
    assert CANARY not in document
    assert {fault["at"] for fault in error.members["errors"]} == {
        "inner.0.count", "inner.0.(a name that is not known)", "id", "(a name that is not known)"
    }  # fmt: skip
