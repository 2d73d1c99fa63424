"""Keys and the audit log over HTTP."""

from __future__ import annotations

import pytest

from tests.support.problems import assert_problem

CANARY = "ZqxjKwDoe"
WANTED = {"owner": "Radiology PACS", "plan": "standard", "roles": ["clinician"]}


def issue(caller, **changes):
    return caller.post("/v1/admin/keys", json=WANTED | changes)


def recorded(site, caller, response):
    """The types of the records of this request, oldest first."""
    page = caller.get("/v1/admin/audit", params={"request_id": response.headers["x-request-id"]}).json()
    return [record["type"] for record in reversed(page["records"])]


def test_a_key_from_its_issue_to_its_end(site, caller):
    issued = issue(caller)
    assert issued.status_code == 201, issued.text
    key, secret = issued.json()["key"], issued.json()["secret"]
    assert key["scopes"] == ["docs:read", "predict"]
    assert key["tenant"] == "st-mary"
    assert secret not in site.log.getvalue()
    assert recorded(site, caller, issued) == ["request.started", "key.issued"]

    listed = caller.get("/v1/admin/keys").json()["keys"]
    assert key["key_id"] in [entry["key_id"] for entry in listed]
    assert secret not in caller.get("/v1/admin/keys").text

    rotated = caller.post(f"/v1/admin/keys/{key['key_id']}/rotate", json={"overlap_seconds": 60})
    assert rotated.status_code == 200, rotated.text
    assert recorded(site, caller, rotated) == ["request.started", "key.rotated"]
    for text in (secret, rotated.json()["secret"]):
        with site.client(text) as client:
            assert client.get("/v1/models").status_code == 200

    revoked = caller.post(f"/v1/admin/keys/{key['key_id']}/revoke")
    assert revoked.json()["status"] == "revoked"
    assert recorded(site, caller, revoked) == ["request.started", "key.revoked"]


def test_a_rotation_without_a_body_ends_the_old_secret(site, caller):
    key_id = issue(caller).json()["key"]["key_id"]
    assert caller.post(f"/v1/admin/keys/{key_id}/rotate").status_code == 200


def test_an_issuer_gives_only_what_it_holds_or_what_is_grantable(site, caller):
    with site.client(site.key("keys:read", "keys:write")) as issuer:
        assert issue(issuer).status_code == 201
        refused = issue(issuer, roles=["admin"])
        assert_problem(refused, 403)
        assert refused.json()["scope"] == "audit:all"


def test_an_issuer_cannot_take_a_stronger_key_by_rotating_it(site, caller):
    strong = issue(caller, roles=["auditor"]).json()
    key_id = strong["key"]["key_id"]
    with site.client(site.key("keys:read", "keys:write")) as issuer:
        assert_problem(issuer.post(f"/v1/admin/keys/{key_id}/rotate"), 403)
    with site.client(strong["secret"]) as auditor:
        assert auditor.get("/v1/admin/audit").status_code == 200


def test_another_tenants_keys_do_not_exist(site, caller):
    key_id = issue(caller).json()["key"]["key_id"]
    with site.client(site.key("keys:read", "keys:write", tenant="other")) as other:
        assert key_id not in other.get("/v1/admin/keys").text
        assert_problem(other.post(f"/v1/admin/keys/{key_id}/revoke"), 404, "not-found")
        assert_problem(other.post(f"/v1/admin/keys/{key_id}/rotate", json={}), 404, "not-found")


def test_another_tenants_records_are_not_shown(site, caller):
    caller.get("/v1/models")
    with site.client(site.key("audit:read", tenant="other")) as other:
        assert {record["tenant"] for record in other.get("/v1/admin/audit").json()["records"]} <= {"other"}


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": CANARY},
        {"key_id": CANARY},
        {CANARY: 1},
        {"roles": [CANARY]},
        {"scopes": [CANARY]},
        {"plan": CANARY},
        {"owner": ""},
        {"owner": CANARY * 50},
        {"owner": {"name": CANARY}},
        {"expires_at": CANARY},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"addresses": [CANARY]},
        {"roles": CANARY},
        {"roles": []},
    ],
)
def test_what_cannot_be_issued(site, caller, changes):
    response = issue(caller, **changes)
    assert_problem(response, 422, "invalid-parameter")
    assert CANARY not in response.text
    assert CANARY not in site.log.getvalue()


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b"null", b'"ZqxjKwDoe"', b"", b"[" * 10_000])
def test_bodies_that_are_not_what_is_wanted(caller, body):
    response = caller.post("/v1/admin/keys", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in {400, 422}
    assert CANARY not in assert_problem(response, response.status_code).values()
    assert CANARY not in response.text


def test_a_path_that_is_no_key(site, caller):
    response = caller.post(f"/v1/admin/keys/{CANARY}/revoke")
    assert_problem(response, 422, "invalid-parameter")
    assert CANARY not in response.text
    assert CANARY not in site.log.getvalue()


def test_the_log_is_read_by_pages(site, caller):
    for _ in range(5):
        caller.get("/v1/models")
    first = caller.get("/v1/admin/audit", params={"limit": 3, "type": "request.finished"}).json()
    second = caller.get(
        "/v1/admin/audit", params={"limit": 3, "cursor": first["cursor"], "type": "request.finished"}
    ).json()
    numbers = [record["seq"] for page in (first, second) for record in page["records"]]
    assert len(numbers) == 6
    assert numbers == sorted(numbers, reverse=True)


@pytest.mark.parametrize("query", ["patient=x", "model=x", "outcome=refused", "outcome=success", "actor=x"])
def test_every_filter_is_answered(caller, query):
    assert caller.get(f"/v1/admin/audit?{query}").status_code == 200


def test_reading_the_log_is_on_record(site, caller):
    read = caller.get("/v1/admin/audit", params={"outcome": "failed"})
    assert recorded(site, caller, read) == ["audit.read"]


@pytest.mark.parametrize(
    "query", ["since=yesterday", "limit=0", "limit=1001", "cursor=-1", f"actor={CANARY * 30}", f"{CANARY}=1"]
)
def test_filters_that_do_not_fit(caller, query):
    response = caller.get(f"/v1/admin/audit?{query}")
    assert_problem(response, 422, "invalid-parameter")
    assert CANARY not in response.text


def test_the_log_is_whole(caller):
    report = caller.get("/v1/admin/audit/verify").json()
    assert report["good"], report
    assert set(report["verdicts"]) == {"integrity", "order", "completeness", "checkpoints"}
    assert report["records"] > 0


def test_refusals_at_the_door_are_counted(site):
    with site.client(site.key("predict", tenant="denied")) as client:
        for _ in range(3):
            assert_problem(client.get("/v1/admin/audit"), 403)
    site.run(site.app.state.services.denials._flush())
    with site.client(site.key("audit:read", tenant="denied")) as auditor:
        [record] = auditor.get("/v1/admin/audit", params={"type": "access.denied"}).json()["records"]
    assert (record["kind"], record["reason"], record["count"]) == ("forbidden", "scope", 3)
