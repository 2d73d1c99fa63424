from __future__ import annotations

from pathlib import Path

import pytest

from gateway.admission.access import ANY, AccessPolicy
from gateway.admission.principal import Principal
from gateway.errors import Forbidden, InvalidParameter

SHIPPED = Path(__file__).resolve().parents[3] / "policies" / "access.yaml"

MINIMAL = """
scopes: {predict: Classify, "keys:read": List}
roles: {user: [predict]}
routes:
  - {route: POST /v1/predict, scope: predict, body: true, cost: 2}
  - {route: "POST /v1/keys/{key_id}/revoke", scope: "keys:read"}
  - {route: GET /health, open: true}
"""


def principal(*scopes: str) -> Principal:
    return Principal("key_a", "owner", "tenant", frozenset(scopes), "standard")


@pytest.fixture
def policy(tmp_path: Path) -> AccessPolicy:
    return load(tmp_path, MINIMAL)


def load(folder: Path, text: str) -> AccessPolicy:
    path = folder / "access.yaml"
    path.write_text(text, encoding="utf-8")
    return AccessPolicy.load(path)


def test_a_listed_route_has_its_rule(policy: AccessPolicy) -> None:
    rule = policy.match("POST", "/v1/predict")
    assert rule is not None
    assert (rule.route, rule.scope, rule.body, rule.cost) == ("POST /v1/predict", "predict", True, 2)


def test_a_template_stands_for_one_segment_and_names_itself(policy: AccessPolicy) -> None:
    rule = policy.match("POST", "/v1/keys/key_7Hq2mXc9RtLa/revoke")
    assert rule is not None
    assert rule.route == "POST /v1/keys/{key_id}/revoke"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/predict"),
        ("post", "/v1/predict"),
        ("POST", "/v1/predict/"),
        ("POST", "/v1/predict\n"),
        ("POST", "//v1/predict"),
        ("POST", "/V1/predict"),
        ("POST", "/v1/keys//revoke"),
        ("POST", "/v1/keys/a/b/revoke"),
        ("POST", "/v1/keys/a%2Fb/revoke"),
        ("POST", "/v1/keys/a b/revoke"),
        ("POST", "/v1/keys/a/revoke/more"),
        ("POST", "/v1/keys/{key_id}/revoke"),
        ("GET", "/"),
        ("GET", ""),
    ],
)
def test_what_is_not_listed_has_no_rule(policy: AccessPolicy, method: str, path: str) -> None:
    assert policy.match(method, path) is None


def test_the_methods_of_a_path_are_known(policy: AccessPolicy) -> None:
    assert policy.methods("/v1/predict") == {"POST"}
    assert policy.methods("/elsewhere") == frozenset()


def test_a_missing_scope_is_named(policy: AccessPolicy) -> None:
    rule = policy.match("POST", "/v1/predict")
    assert rule is not None
    policy.check(principal("predict"), rule)
    with pytest.raises(Forbidden, match="predict") as refused:
        policy.check(principal("keys:read"), rule)
    assert refused.value.members == {"scope": "predict"}


def test_an_open_route_asks_for_no_scope(policy: AccessPolicy) -> None:
    rule = policy.match("GET", "/health")
    assert rule is not None
    assert rule.scope is None
    policy.check(principal(), rule)


def test_roles_and_scopes_add_up(policy: AccessPolicy) -> None:
    assert policy.expand(roles=["user"], scopes=["keys:read"]) == {"predict", "keys:read"}
    with pytest.raises(InvalidParameter, match="user"):
        policy.expand(roles=["root"])
    with pytest.raises(InvalidParameter, match="keys:read"):
        policy.expand(scopes=["keys:*"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("GET /health, open: true", "GET /health"), "GET /health"),
        (("GET /health, open: true", "GET /health, open: true, scope: predict"), "GET /health"),
        (("scope: predict, body", "scope: other, body"), "other"),
        (("user: [predict]", "user: [root]"), "roles.user"),
        (("body: true", "boddy: true"), "boddy"),
        (("body: true", "body: 1"), "body"),
        (("cost: 2", "cost: 0"), "cost"),
        (("cost: 2", 'cost: "2"'), "cost"),
        (("POST /v1/predict", "POST v1/predict"), "route"),
        (("POST /v1/predict", "FETCH /v1/predict"), "route"),
        (("GET /health", "POST /v1/predict"), "twice"),
        (("roles: {user: [predict]}", "roles: {user: [predict], user: []}"), "twice"),
        (("routes:", "paths:"), "routes"),
        (("scopes: {", "scopes: ["), "line"),
    ],
)
def test_a_fault_in_the_file_stops_the_start_and_is_named(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    assert change[0] in MINIMAL
    with pytest.raises(ValueError, match=named) as refused:
        load(tmp_path, MINIMAL.replace(*change, 1))
    assert "access.yaml" in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.yaml"):
        AccessPolicy.load(tmp_path / "gone.yaml")


OPEN = {
    "GET /health",
    "GET /readiness",
    "POST /oauth/token",
    "GET /oauth/jwks.json",
    "GET /.well-known/oauth-authorization-server",
    "GET /.well-known/smart-configuration",
    "GET /console/login",
    "POST /console/login",
    "GET /console/login/with/{issuer}",
    "GET /console/login/back",
    "GET /console/static/{file}",
}


def test_what_the_shipped_policy_opens_to_anyone() -> None:
    policy = AccessPolicy.load(SHIPPED)
    assert {rule.route for rule in policy if rule.scope is None} == OPEN


def test_docs_are_open_only_when_asked_for() -> None:
    opened = {rule.route for rule in AccessPolicy.load(SHIPPED, docs=True) if rule.scope is None}
    assert opened == OPEN | {"GET /docs", "GET /openapi.json"}


def test_every_shipped_scope_is_asked_for_and_held_by_a_role() -> None:
    policy = AccessPolicy.load(SHIPPED)
    asked = {rule.scope for rule in policy if rule.scope} - {ANY}
    in_handlers = {name for name in policy.scopes if name.startswith("deidentify:")} | {"switches:all", "audit:all"}
    assert asked | in_handlers == set(policy.scopes) == set().union(*policy.roles.values())


def test_a_route_for_any_good_credential_asks_for_no_scope_and_is_open_to_nobody_else(tmp_path: Path) -> None:
    policy = AccessPolicy.load(SHIPPED)
    rule = policy.match("GET", "/v1/usage")
    assert rule is not None
    assert rule.scope == ANY
    policy.check(Principal("key_1", "owner", "a", frozenset(), "standard"), rule)
    taken = tmp_path / "access.yaml"
    taken.write_text(SHIPPED.read_text().replace("scopes:\n", "scopes:\n  any: Everything\n", 1))
    with pytest.raises(ValueError, match="is no scope"):
        AccessPolicy.load(taken)
