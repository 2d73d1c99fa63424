"""Whatever another tenant has does not exist: every administrative route, walked; and what a walk would overlook."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import Mount, Route, WebSocketRoute

from gateway.admission.key_record import NewKey
from gateway.admission.key_request import KeyRequest
from gateway.admission.key_requests import KeyRequests
from gateway.admission.keys import KeyMaker, new_id
from gateway.app import check_routes
from tests.support.issuer import SigningKey
from tests.support.problems import assert_problem
from tests.support.site import ALL_SCOPES

PLACEHOLDER = re.compile(r"\{(\w+)\}")
BODIES = {
    "PATCH /v1/admin/keys/{key_id}": {"note": "mine"},
    "PUT /v1/admin/switches/{kind}/{name}": {"reason": "test"},
    "PUT /v1/admin/clients/{client_id}/keys": {"jwks": {"keys": [SigningKey("one", "ES384").jwk]}},
}


@pytest.fixture(scope="module")
def theirs(running_site) -> list[dict[str, str]]:
    """One thing of each kind that the tenant st-mary has: what fills the placeholders of a route."""
    site = running_site
    with site.client(site.key()) as client:
        wanted = {"owner": "PACS", "plan": "standard", "scopes": ["predict"]}
        key_id = client.post("/v1/admin/keys", json=wanted).json()["key"]["key_id"]
        registered = client.post(
            "/v1/admin/clients", json=wanted | {"jwks": {"keys": [SigningKey("two", "ES384").jwk]}}
        )
        client_id = registered.json()["client_id"]
    now, issued = datetime.now(UTC), KeyMaker(b"p" * 32).issue()
    new = NewKey(owner="PACS", tenant="st-mary", scopes=frozenset({"predict"}), plan="standard")
    request = KeyRequest(
        request_id=f"req_{new_id()}",
        kind="issue",
        key_id=issued.key_id,
        new=new,
        changed=(),
        overlap=timedelta(0),
        revision=0,
        requested_by=key_id,
        person="PACS",
        requested_at=now,
        expires_at=now + timedelta(hours=1),
        digest=issued.digest,
    )
    requests = KeyRequests(site.app.state.services.engine)
    site.run(requests.add(request))
    return [
        {"key_id": key_id},
        {"client_id": client_id},
        {"request_id": request.request_id},
        {"kind": "key", "name": key_id},
        {"kind": "tenant", "name": "st-mary"},
    ]


def test_another_tenants_things_do_not_exist_on_any_administrative_route(site, theirs):
    held = [scope for scope in ALL_SCOPES if scope != "switches:all"]  # its holders may switch what tenants share
    walked = set()
    with site.client(site.key(*held, tenant="other")) as eve:
        for rule in site.app.state.parts.access:
            names = set(PLACEHOLDER.findall(rule.route))
            if "/admin/" not in rule.route or not names or (rule.scope or "").startswith("models:"):
                continue  # models are what tenants share
            fitting = [each for each in theirs if set(each) == names]
            assert fitting, f"{rule.route}: say above what another tenant has of this kind"
            for each in fitting:
                method, path = PLACEHOLDER.sub(lambda match, each=each: each[match[1]], rule.route).split(" ")
                response = eve.request(method, path, json=BODIES.get(rule.route), headers={"if-match": "*"})
                assert_problem(response, 404, "not-found")
            walked.add(rule.route)
        for path in ("keys", "key-requests", "clients", "switches", "usage", "audit"):
            answer = eve.get(f"/v1/admin/{path}")
            assert answer.status_code == 200, path
            for each in theirs:
                assert not {*each.values()} & set(re.findall(r"[\w-]+", answer.text)) - {"key", "tenant"}, path
    assert len(walked) >= 12
    with site.client(site.key()) as client:  # and nothing happened to them
        key_id, client_id = theirs[0]["key_id"], theirs[1]["client_id"]
        assert client.get(f"/v1/admin/keys/{key_id}").json()["revision"] == 1
        assert client.get(f"/v1/admin/clients/{client_id}").json()["status"] == "active"
        off = {switch["name"] for switch in client.get("/v1/admin/switches").json()["switches"]}
        assert not off & {"st-mary", key_id}
        waiting = client.get("/v1/admin/key-requests", params={"limit": 1000}).json()["requests"]
        assert {each["request_id"]: each["status"] for each in waiting}[theirs[2]["request_id"]] == "pending"


async def endpoint() -> None:
    """Serves nothing."""


def with_another(site, add) -> FastAPI:
    """An application with the gateway's routes and one more."""
    app = FastAPI(openapi_url=None, routes=list(site.app.routes))
    add(app)
    return app


def routed(app: FastAPI) -> None:
    router = APIRouter(prefix="/v1/admin")
    router.add_api_route("/secrets/{secret_id}", endpoint, methods=["GET"])
    app.include_router(router)


@pytest.mark.parametrize(
    ("add", "names"),
    [
        (lambda app: app.add_api_route("/v1/secrets", endpoint), "GET /v1/secrets"),
        (lambda app: app.add_api_route("/v1/models", endpoint, methods=["DELETE"]), "DELETE /v1/models"),
        (routed, "IncludedRouter"),  # FastAPI keeps it as one, unflattened
        (lambda app: app.router.routes.append(Route("/plain", endpoint)), "Route"),
        (lambda app: app.router.routes.append(Mount("/below", FastAPI())), "Mount"),
        (lambda app: app.router.routes.append(WebSocketRoute("/socket", endpoint)), "WebSocketRoute"),
    ],
)
def test_a_route_that_is_added_without_a_rule_stops_the_start(site, add, names):
    check_routes(with_another(site, lambda _: None), site.app.state.parts.access)
    with pytest.raises(ValueError, match=re.escape(names)):
        check_routes(with_another(site, add), site.app.state.parts.access)


def test_a_rule_that_names_another_scope_is_held_to_it(site):
    """The table is what decides, not the handler: the same route with another scope refuses another caller."""
    access = site.app.state.parts.access
    rule = access.match("GET", "/v1/models")
    with site.client(site.key("predict")) as client:
        assert client.get("/v1/models").status_code == 200
        access._plain["GET /v1/models"] = replace(rule, scope="audit:read")
        try:
            assert assert_problem(client.get("/v1/models"), 403)["scope"] == "audit:read"
        finally:
            access._plain["GET /v1/models"] = rule
