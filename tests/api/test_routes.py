"""Every route and every method: who may, and what an error looks like."""

from __future__ import annotations

import re

import pytest

from gateway.admission.access import ANY, AccessPolicy
from gateway.app import check_routes
from tests.support.problems import assert_problem

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND")

TOKEN = "POST /oauth/token"
PLACEHOLDER = re.compile(r"\{(\w+)\}")
FILLED = {
    "file": "console.css",
    "request_id": "none-of-this",
    "number": "1",
    "key_id": "key_000000000000",
    "kind": "tenant",
    "name": "nobody",
}


ELSEWHERE = {"GET /console/login/with/{issuer}": 404, "GET /console/login/back": 401}
"""Open, and of no use without an issuer that the policy names, or without an answer of it."""


def routes(site):
    return [
        (rule, *PLACEHOLDER.sub(lambda match: FILLED.get(match[1], "none-of-this"), rule.route).split(" "))
        for rule in site.app.state.parts.access
    ]


def test_every_route_has_a_rule_and_every_rule_a_route(site):
    check_routes(site.app, site.app.state.parts.access)


def test_a_route_without_a_rule_stops_the_start(site):
    rules = [rule for rule in site.app.state.parts.access if rule.route != "GET /v1/models"]
    with pytest.raises(ValueError, match="GET /v1/models"):
        check_routes(site.app, AccessPolicy({}, {}, (), rules))


def test_a_rule_without_a_route_stops_the_start(site, tmp_path):
    shipped = site.settings.admission.access_policy.read_text()
    wider = tmp_path / "access.yaml"
    wider.write_text(f"{shipped}  - {{route: GET /v1/secrets, scope: predict}}\n")
    with pytest.raises(ValueError, match="GET /v1/secrets"):
        check_routes(site.app, AccessPolicy.load(wider, docs=True))


def test_a_stranger_gets_in_nowhere_but_where_it_is_open(site):
    for rule, method, path in routes(site):
        with site.client() as client:
            response = client.request(method, path)
        if rule.session:
            assert_page(response, 401 if method == "GET" else 403)
        elif rule.route == "POST /console/login":
            assert_page(response, 403)  # not sent from a page of the console
        elif rule.route in ELSEWHERE:
            assert_page(response, ELSEWHERE[rule.route])
        elif rule.route == TOKEN:
            assert_token_error(response)
        elif rule.scope is None:
            assert response.status_code == 200, rule.route
        else:
            assert_problem(response, 401, "unauthenticated")


def test_a_key_gets_in_nowhere_but_where_its_scope_is(site):
    with site.client(site.key("predict")) as client:
        for rule, method, path in routes(site):
            response = client.request(method, path)
            if path.startswith("/console"):  # a key is no credential of the console's
                is_open = rule.scope is None and method == "GET" and rule.route not in ELSEWHERE
                assert (response.status_code == 200) == is_open, rule.route
            elif rule.scope not in {None, ANY, "predict"}:
                assert assert_problem(response, 403, "forbidden")["scope"] == rule.scope
            elif rule.route == TOKEN:
                assert_token_error(response)
            else:
                assert response.status_code in {200, 415}, rule.route


def test_every_answer_to_every_method_is_named(site, caller):
    paths = {path for _, _, path in routes(site)} | {
        "/",
        "//",
        "/v1/predict/",
        "/v1/%2e%2e/health",
        "/v1/admin/keys/x/y",
    }
    for path in sorted(paths):
        for method in METHODS:
            response = caller.request(method, path)
            assert response.headers["x-request-id"], (method, path)
            assert response.headers["server-timing"]
            assert response.headers["x-content-type-options"] == "nosniff"
            kept = path == "/console/static/console.css" and response.status_code == 200
            assert response.headers["cache-control"] == ("public, max-age=31536000, immutable" if kept else "no-store")
            assert "default-src 'none'" in response.headers["content-security-policy"]
            assert response.status_code < 500, (method, path, response.text)
            if response.status_code < 400 or method == "HEAD":
                continue
            if path.startswith("/console"):
                assert_page(response, response.status_code)
            elif f"{method} {path}" == TOKEN:
                assert_token_error(response)
            else:
                assert_problem(response, response.status_code)


def assert_token_error(response):
    """RFC 6749 §5.2: there is no form in the request."""
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert response.json()["error"] == "invalid_request"


def assert_page(response, status):
    assert response.status_code == status
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self';" in response.headers["content-security-policy"]


def test_a_good_request_id_is_kept(stranger):
    for good in ("6e4f2c9e-55a5-4d3c-9c57-0d4f6a6a2d51", "pacs.7_42-x"):
        assert stranger.get("/health", headers={"X-Request-ID": good}).headers.get_list("x-request-id") == [good]


@pytest.mark.parametrize("bad", ["short", "x" * 65, "ZqxjKw^Doe Jane", "a b c d e f", "../../etc/passwd", "ünicode-id"])
def test_any_other_request_id_is_dropped(stranger, bad):
    kept = stranger.get("/health", headers={"X-Request-ID": bad.encode()}).headers["x-request-id"]
    assert kept != bad
    assert len(kept) == 36


def test_a_trace_is_carried_on(site, stranger):
    trace = "0af7651916cd43dd8448eb211c80319c"
    response = stranger.get("/health", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert response.headers["traceparent"] == f"00-{trace}-b7ad6b7169203331-01"
    [line] = site.lines_of(response)
    assert line["trace_id"] == trace


@pytest.mark.parametrize(
    "bad",
    [
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "ZqxjKw",
    ],
)
def test_any_other_trace_is_dropped(site, stranger, bad):
    response = stranger.get("/health", headers={"traceparent": bad})
    assert "traceparent" not in response.headers
    assert all("ZqxjKw" not in str(line) for line in site.lines_of(response))


def test_the_description_is_true_to_the_policy(site, caller):
    schema = caller.get("/openapi.json").json()
    described = {f"{method.upper()} {path}" for path, item in schema["paths"].items() for method in item}
    pages = {rule.route for rule in site.app.state.parts.access if "/console" in rule.route}
    others = {"GET /openapi.json", "GET /docs"}
    assert described == {rule.route for rule in site.app.state.parts.access} - others - pages
    predict = schema["paths"]["/v1/predict"]["post"]
    assert set(predict["requestBody"]["content"]) >= {
        "application/dicom",
        "image/jpeg",
        "image/png",
        "multipart/form-data",
    }
    assert {"401", "403", "408", "413", "415", "422", "429", "502", "503", "504"} <= set(predict["responses"])
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    own = path == "/oauth/token" and status in {"400", "401"}  # RFC 6749 §5.2
                    media_types = set(response["content"]) - ({"application/json"} if own else set())
                    assert media_types <= {"application/problem+json"}, (method, path, status)
                    assert response["content"], (method, path, status)
    assert schema["paths"]["/health"]["get"]["security"] == []


def test_the_page_of_the_description_runs_its_own_script_alone(stranger):
    response = stranger.get("/docs")
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert "'sha256-" in policy
    assert "script-src https://cdn.jsdelivr.net 'sha256-" in policy
