"""Clients over HTTP: registering and changing them, within a tenant, by those who may; and a gateway without tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gateway.app import create_app
from gateway.settings import OAuthSettings
from tests.support.issuer import SigningKey
from tests.support.problems import assert_problem
from tests.support.site import settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.site import Site

KEY = SigningKey("one", "ES384")
CANARY = "ZqxjKwDoe"
REGISTRAR = ("clients:read", "clients:write")


def wanted(**changes: Any) -> dict[str, Any]:
    client = {"owner": "PACS", "plan": "standard", "roles": ["clinician"], "jwks": {"keys": [KEY.jwk]}}
    return {name: value for name, value in (client | changes).items() if value is not None}


def register(caller: httpx.Client, **changes: Any) -> httpx.Response:
    return caller.post("/v1/admin/clients", json=wanted(**changes))


def recorded(caller: httpx.Client, response: httpx.Response) -> list[str]:
    """The types of the records of this request, oldest first."""
    page = caller.get("/v1/admin/audit", params={"request_id": response.headers["x-request-id"]}).json()
    return [record["type"] for record in reversed(page["records"])]


def test_a_client_from_its_registration_to_its_end(caller: httpx.Client) -> None:
    registered = register(caller, note="link")
    assert registered.status_code == 201, registered.text
    client = registered.json()
    path = f"/v1/admin/clients/{client['client_id']}"
    assert client["scopes"] == ["docs:read", "predict"]
    assert (client["tenant"], client["status"], client["jwks"]) == ("st-mary", "active", {"keys": [KEY.jwk]})
    assert recorded(caller, registered) == ["request.started", "client.registered"]
    assert caller.get(path).json() == client
    assert client in caller.get("/v1/admin/clients").json()["clients"]

    other = SigningKey("two", "RS384").jwk
    changes = {
        "keys": caller.put(f"{path}/keys", json={"jwks": {"keys": [other]}}),
        "disable": caller.post(f"{path}/disable"),
        "enable": caller.post(f"{path}/enable"),
        "remove": caller.delete(path),
    }
    assert [answer.status_code for answer in changes.values()] == [200, 200, 200, 204]
    assert changes["keys"].json()["jwks"] == {"keys": [other]}
    assert changes["disable"].json()["status"] == "disabled"
    assert changes["enable"].json()["status"] == "active"
    for action, answer in changes.items():
        page = caller.get("/v1/admin/audit", params={"request_id": answer.headers["x-request-id"]}).json()
        assert page["records"][0]["action"] == action
        assert recorded(caller, answer) == ["request.started", "client.changed"]

    assert client["client_id"] not in caller.get("/v1/admin/clients").text
    assert caller.get(path).json()["status"] == "removed"
    assert_problem(caller.post(f"{path}/enable"), 404, "not-found")


def test_nobody_makes_a_client_stronger_than_themselves(site: Site, caller: httpx.Client) -> None:
    strong = register(caller, roles=["auditor"]).json()["client_id"]
    with site.client(site.key(*REGISTRAR)) as registrar:
        assert register(registrar).status_code == 201
        assert_problem(register(registrar, roles=["auditor"]), 403)
        assert_problem(register(registrar, scopes=["keys:write"]), 403)
        # Other keys for a strong client, or its way back, would be the same by another road.
        for refused in (
            registrar.put(f"/v1/admin/clients/{strong}/keys", json={"jwks": {"keys": [KEY.jwk]}}),
            registrar.post(f"/v1/admin/clients/{strong}/enable"),
        ):
            assert_problem(refused, 403)
        assert registrar.post(f"/v1/admin/clients/{strong}/disable").status_code == 200


def test_each_route_needs_its_scope(site: Site, caller: httpx.Client) -> None:
    client_id = register(caller).json()["client_id"]
    with site.client(site.key("clients:read")) as reader:
        assert reader.get("/v1/admin/clients").status_code == 200
        assert_problem(register(reader), 403)
        assert_problem(reader.delete(f"/v1/admin/clients/{client_id}"), 403)
    with site.client(site.key("keys:write", "keys:read")) as other:
        assert_problem(other.get("/v1/admin/clients"), 403)
        assert_problem(register(other), 403)


def test_another_tenants_clients_do_not_exist(site: Site, caller: httpx.Client) -> None:
    client_id = register(caller).json()["client_id"]
    path = f"/v1/admin/clients/{client_id}"
    with site.client(site.key(*REGISTRAR, "switches:write", tenant="elsewhere")) as stranger:
        assert client_id not in stranger.get("/v1/admin/clients").text
        for refused in (
            stranger.get(path),
            stranger.post(f"{path}/disable"),
            stranger.post(f"{path}/enable"),
            stranger.put(f"{path}/keys", json={"jwks": {"keys": [KEY.jwk]}}),
            stranger.delete(path),
            stranger.put(f"/v1/admin/switches/key/{client_id}", json={"reason": "test"}),
        ):
            assert_problem(refused, 404, "not-found")
    assert caller.get(path).json()["status"] == "active"


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": CANARY},
        {"client_id": CANARY},
        {"owner": ""},
        {"owner": CANARY * 50},
        {"plan": CANARY},
        {"roles": [CANARY]},
        {"scopes": [CANARY]},
        {"roles": []},
        {"jwks": None},
        {"jwks": {"keys": [KEY.jwk | {"d": CANARY}]}},
        {"jwks": {"keys": [KEY.jwk | {"crv": CANARY}]}},
        {"jwks": {CANARY: 1}},
        {"jwks": None, "jwks_url": f"http://{CANARY}.example/keys"},
        {"jwks": None, "jwks_url": f"https://user:{CANARY}@pacs.example/keys"},
        {"jwks_url": "https://pacs.example/keys"},
        {"expires_at": "2001-01-01T00:00:00Z"},
    ],
    ids="-".join,
)
def test_what_cannot_be_registered(site: Site, caller: httpx.Client, changes: dict[str, Any]) -> None:
    refused = register(caller, **changes)
    assert_problem(refused, 422, "invalid-parameter")
    assert CANARY not in refused.text
    assert CANARY not in site.log.getvalue()


async def test_a_gateway_without_a_signing_key_gives_no_tokens(site: Site, tmp_path: Path) -> None:
    app = create_app(settings_for(tmp_path, "redis://127.0.0.1:1", oauth=OAuthSettings()), inference=site.model)
    site.listen()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cordon") as anyone:
        assert_problem(await anyone.post("/oauth/token", data={"grant_type": "client_credentials"}), 404, "not-found")
        for path in (
            "/oauth/jwks.json",
            "/.well-known/smart-configuration",
            "/.well-known/oauth-authorization-server",
        ):
            assert_problem(await anyone.get(path), 404, "not-found")
