"""Over HTTP: the first key is not to be had, and what needs a second pair of eyes waits for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from gateway.admission.key_record import NewKey
from gateway.admission.key_tables import api_key_secrets, api_keys, key_requests
from gateway.admission.keys import KeyMaker
from gateway.settings import AdmissionSettings
from tests.support.administration import GUARDED, POLICIES
from tests.support.door import caller, door
from tests.support.problems import assert_problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx
    from fastapi import FastAPI

    from tests.support.valkey import ValkeyServer

KEYS, REQUESTS = "/v1/admin/keys", "/v1/admin/key-requests"
PLACEHOLDER = re.compile(r"\{\w+\}")


@pytest.fixture
async def guarded(tmp_path: Path, valkey: ValkeyServer) -> AsyncIterator[FastAPI]:
    """A gateway whose policy asks for four eyes; nobody has a key yet."""
    shipped = (POLICIES / "access.yaml").read_text()
    policy = tmp_path / "access.yaml"
    policy.write_text(shipped.replace("four_eyes:\n  scopes: []", f"four_eyes:\n  scopes: {list(GUARDED)}"))
    admission = AdmissionSettings(key_pepper="p" * 32, access_policy=policy)
    async with door(tmp_path, valkey.url, admission=admission) as app:
        yield app


async def stored(app: FastAPI) -> list[object]:
    """Whatever could open anything."""
    async with app.state.services.engine.connect() as connection:
        found = [
            (await connection.execute(select(column))).all()
            for column in (api_keys.c.key_id, api_key_secrets.c.digest, key_requests.c.request_id)
        ]
    return [row for rows in found for row in rows]


async def test_no_call_over_http_makes_the_first_key(guarded: FastAPI) -> None:
    """Every route, with every kind of credential that someone without a key can make up."""
    forged = KeyMaker(b"x" * 32).issue().text  # well-formed, of another pepper
    credentials = [
        {},
        {"authorization": f"Bearer {forged}"},
        {"x-api-key": forged},
        {"authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
        {"authorization": "Basic YWRtaW46YWRtaW4="},
        {"cookie": "__Host-cordon=x", "x-forwarded-for": "127.0.0.1"},
    ]
    body = {"owner": "Me", "plan": "admin", "roles": ["admin"], "reason": "lockout", "note": "let me in, please"}
    for number, headers in enumerate(credentials):
        for position, rule in enumerate(guarded.state.parts.access):
            method, path = PLACEHOLDER.sub("key_000000000000", rule.route).split(" ")
            # An address each: failures are bounded by address, and a 429 would hide what the route says.
            async with caller(guarded, address=f"10.{number}.0.{position}") as client:
                response = await client.request(method, path, headers=headers, json=body)
            assert response.status_code < 500, (rule.route, response.text)
            if rule.scope is not None and not rule.session:
                assert response.status_code == 401, (rule.route, response.status_code)
    assert await stored(guarded) == []


@pytest.fixture
async def people(guarded: FastAPI) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """Ann and Ben, whose keys were made at the machine."""
    access, store = guarded.state.parts.access, guarded.state.parts.keys
    clients = {}
    for name in ("ann", "ben"):
        new = NewKey(owner=name, tenant="st-mary", scopes=access.roles["admin"], plan="admin")
        _, issued = await store.issue(new)
        clients[name] = caller(guarded, issued.text)
    yield clients
    for client in clients.values():
        await client.aclose()


async def test_an_administrators_key_waits_for_the_second_pair_of_eyes(
    guarded: FastAPI, people: dict[str, httpx.AsyncClient]
) -> None:
    ann, ben = people["ann"], people["ben"]
    asked = await ann.post(KEYS, json={"owner": "Auditor", "plan": "admin", "roles": ["auditor"]})
    assert asked.status_code == 202, asked.text
    key, request, secret = (asked.json()[name] for name in ("key", "request", "secret"))
    assert (key["status"], request["status"], request["kind"]) == ("waiting", "pending", "issue")

    async with caller(guarded, secret) as auditor:
        assert_problem(await auditor.get("/v1/admin/audit"), 401, "unauthenticated")
        assert_problem(await ann.get(f"{KEYS}/{key['key_id']}"), 404)
        path = f"{REQUESTS}/{request['request_id']}"
        assert_problem(await ann.post(f"{path}/approve"), 403, "forbidden")
        assert_problem(await auditor.post(f"{path}/approve"), 401)
        listed = (await ben.get(REQUESTS)).json()["requests"]
        assert [each["request_id"] for each in listed] == [request["request_id"]]
        assert secret not in str(listed)

        approved = await ben.post(f"{path}/approve")
        assert approved.status_code == 200, approved.text
        assert (approved.json()["key"]["status"], approved.json()["request"]["status"]) == ("active", "approved")
        assert (await auditor.get("/v1/admin/audit")).status_code == 200

    assert_problem(await ben.post(f"{path}/approve"), 409, "conflict")
    assert_problem(await ben.post(f"{path}/reject"), 409, "conflict")
    page = await ben.get("/v1/admin/audit", params={"request_id": approved.headers["x-request-id"]})
    types = [record["type"] for record in reversed(page.json()["records"])]
    assert types == ["request.started", "key.request-decided", "key.issued"]


async def test_an_update_and_a_rotation_wait_too(guarded: FastAPI, people: dict[str, httpx.AsyncClient]) -> None:
    ann, ben = people["ann"], people["ben"]
    wanted = {"owner": "PACS", "plan": "standard", "scopes": ["predict"]}
    key_id = (await ann.post(KEYS, json=wanted)).json()["key"]["key_id"]
    path = f"{KEYS}/{key_id}"
    update = await ann.patch(path, json={"scopes": ["predict", "audit:read"]}, headers={"if-match": '"1"'})
    assert (update.status_code, update.headers["etag"]) == (202, '"1"'), update.text
    assert update.json()["key"]["scopes"] == ["predict"]
    request_id = update.json()["request"]["request_id"]
    assert (await ben.post(f"{REQUESTS}/{request_id}/approve")).status_code == 200
    assert (await ann.get(path)).json()["scopes"] == ["audit:read", "predict"]

    rotation = await ann.post(f"{path}/rotate", json={"overlap_seconds": 60})
    assert rotation.status_code == 202, rotation.text
    async with caller(guarded, rotation.json()["secret"]) as client:
        assert_problem(await client.get("/v1/models"), 401)
        withdrawn = await ann.post(f"{REQUESTS}/{rotation.json()['request']['request_id']}/withdraw")
        assert withdrawn.json()["status"] == "withdrawn"
        assert_problem(await client.get("/v1/models"), 401)


async def test_another_tenants_request_does_not_exist(guarded: FastAPI, people: dict[str, httpx.AsyncClient]) -> None:
    asked = await people["ann"].post(KEYS, json={"owner": "Auditor", "plan": "admin", "roles": ["auditor"]})
    access = guarded.state.parts.access
    new = NewKey(owner="Eve", tenant="other", scopes=access.roles["admin"], plan="admin")
    _, issued = await guarded.state.parts.keys.issue(new)
    async with caller(guarded, issued.text) as eve:
        assert (await eve.get(REQUESTS)).json() == {"requests": []}
        for what in ("approve", "reject", "withdraw"):
            path = f"{REQUESTS}/{asked.json()['request']['request_id']}/{what}"
            assert_problem(await eve.post(path), 404, "not-found")


async def test_a_path_that_is_no_request(people: dict[str, httpx.AsyncClient]) -> None:
    assert_problem(await people["ben"].post(f"{REQUESTS}/req_x/approve"), 422, "invalid-parameter")
