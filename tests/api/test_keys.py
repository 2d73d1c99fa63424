"""One key over HTTP: shown, updated by a merge patch against what was seen, made for an emergency."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.problems import assert_problem

CANARY = "ZqxjKwDoe"
KEYS = "/v1/admin/keys"
MERGE = {"content-type": "application/merge-patch+json"}


def issue(caller, **changes):
    wanted = {"owner": "Radiology PACS", "plan": "standard", "scopes": ["predict", "docs:read"]} | changes
    response = caller.post(KEYS, json=wanted)
    assert response.status_code == 201, response.text
    return response.json()


def patch(caller, key_id, changes, tag='"1"', **headers):
    return caller.patch(f"{KEYS}/{key_id}", json=changes, headers={"if-match": tag, **headers})


def recorded(caller, response):
    page = caller.get("/v1/admin/audit", params={"request_id": response.headers["x-request-id"]}).json()
    return list(reversed(page["records"]))


def test_a_key_is_shown_with_the_tag_that_an_update_needs(caller):
    issued = issue(caller, note="why")
    shown = caller.get(f"{KEYS}/{issued['key']['key_id']}")
    assert shown.status_code == 200
    assert shown.json() == issued["key"]
    assert shown.headers["etag"] == '"1"'
    assert issued["secret"] not in shown.text


def test_an_update_names_what_it_saw_and_gets_the_next_tag(site, caller):
    issued = issue(caller)
    key_id = issued["key"]["key_id"]
    done = patch(caller, key_id, {"note": "new", "scopes": ["deidentify"]}, **MERGE)
    assert done.status_code == 200, done.text
    assert done.headers["etag"] == '"2"'
    assert (done.json()["key"]["note"], done.json()["key"]["scopes"]) == ("new", ["deidentify"])
    assert done.json()["request"] is None
    assert [record["type"] for record in recorded(caller, done)] == ["request.started", "key.updated"]
    with site.client(issued["secret"]) as client:
        assert_problem(client.get("/v1/models"), 403, "forbidden")  # the worker that did it knows at once


@pytest.mark.parametrize(
    ("tag", "status"),
    [('"2"', 412), ('W/"1"', 412), ('"abc"', 412), ('"0"', 412), ("1", 422), ('"1", "2"', 422), ("*", 200)],
)
def test_what_if_match_may_say(caller, tag, status):
    key_id = issue(caller)["key"]["key_id"]
    response = patch(caller, key_id, {"note": "x"}, tag)
    assert response.status_code == status, response.text
    if status != 200:
        assert_problem(response, status)
        assert caller.get(f"{KEYS}/{key_id}").json()["note"] == ""


def test_an_update_that_does_not_say_what_it_saw_is_refused(caller):
    key_id = issue(caller)["key"]["key_id"]
    assert_problem(caller.patch(f"{KEYS}/{key_id}", json={"note": "x"}), 428, "precondition-required")


def test_of_two_who_saw_the_same_one_comes_too_late(caller):
    key_id = issue(caller)["key"]["key_id"]
    assert patch(caller, key_id, {"note": "first"}).status_code == 200
    assert_problem(patch(caller, key_id, {"note": "second"}), 412, "precondition-failed")


def test_a_patch_that_says_nothing_new_is_answered_and_on_record_as_a_request(caller):
    key_id = issue(caller)["key"]["key_id"]
    response = patch(caller, key_id, {})
    assert (response.status_code, response.headers["etag"]) == (200, '"1"')
    assert [record["type"] for record in recorded(caller, response)] == ["request.started", "request.finished"]


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": CANARY},
        {"key_id": CANARY},
        {CANARY: 1},
        {"owner": None},
        {"plan": CANARY},
        {"scopes": [CANARY]},
        {"scopes": None},
        {"limits": {CANARY: 5}},
        {"limits": {"minute": 0}},
        {"limits": {"minute": "5"}},
        {"limits": {"minute": 5.0}},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"expires_at": "2031-01-01T00:00:00"},
        {"addresses": [CANARY]},
        [CANARY],
        None,
    ],
)
def test_what_cannot_be_patched(site, caller, changes):
    key_id = issue(caller)["key"]["key_id"]
    response = patch(caller, key_id, changes)
    assert_problem(response, 422, "invalid-parameter")
    assert CANARY not in response.text
    assert CANARY not in site.log.getvalue()
    assert caller.get(f"{KEYS}/{key_id}").headers["etag"] == '"1"'


def test_an_issuer_updates_within_what_it_may_give(site, caller):
    with site.client(site.key("keys:read", "keys:write")) as issuer:
        weak, strong = (issue(caller, scopes=scopes)["key"]["key_id"] for scopes in (["predict"], ["audit:read"]))
        assert patch(issuer, weak, {"scopes": ["deidentify"]}).status_code == 200
        refused = assert_problem(patch(issuer, weak, {"scopes": ["audit:read"]}, '"2"'), 403, "forbidden")
        assert refused["scope"] == "audit:read"
        assert_problem(patch(issuer, strong, {"scopes": ["predict"]}), 403, "forbidden")


def test_limits_of_a_keys_own_hold_and_are_said_and_go_back_to_the_plans(site, caller):
    issued = issue(caller, plan="trial", limits={"minute": 2, "inflight": 1})
    key_id = issued["key"]["key_id"]
    with site.client(issued["secret"]) as client:
        first, second, third = (client.get("/v1/models") for _ in range(3))
        assert first.headers["ratelimit-policy"].split(", ")[1] == '"minute";q=2;w=60'
        assert '"inflight";q=1;qu="concurrent-requests"' in first.headers["ratelimit-policy"]
        assert second.status_code == 200
        assert assert_problem(third, 429)["violated-policies"] == ["minute"]

        assert patch(caller, key_id, {"limits": None}).json()["key"]["limits"] == {}
        back = client.get("/v1/models")
        assert back.status_code == 200
        assert back.headers["ratelimit-policy"].split(", ")[1] == '"minute";q=20;w=60'
        minute = back.headers["ratelimit"].split(", ")[1]
        assert minute.startswith('"minute";r=17;'), "what was used before counts"


def test_a_key_for_an_emergency_is_heard_of_at_its_issue_and_at_each_use(site, caller):
    wanted = {"owner": f"Dr. {CANARY}", "reason": "downtime", "note": f"login is down, {CANARY}", "minutes": 5}
    issued = caller.post("/v1/admin/break-glass", json=wanted | {"scopes": ["predict"]})
    assert issued.status_code == 201, issued.text
    key = issued.json()["key"]
    assert (key["break_glass"], key["scopes"]) == ("downtime", ["predict"])
    life = datetime.fromisoformat(key["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=4) < life <= timedelta(minutes=5)
    assert [record["type"] for record in recorded(caller, issued)] == ["request.started", "key.break-glass"]

    with site.client(issued.json()["secret"]) as client:
        used = client.get("/v1/models")
        refused = client.get("/v1/admin/audit")
    assert used.status_code == 200
    assert_problem(refused, 403)  # counted as a refusal: it did nothing
    events = recorded(caller, used)
    assert [event["type"] for event in events] == ["key.break-glass-used", "request.finished"]
    assert (events[0]["actor"], events[0]["reason"]) == (key["key_id"], "downtime")
    assert (events[0]["route"], bool(events[0]["address"])) == ("GET /v1/models", True)

    critical = [line for line in site.lines() if line.get("level") == "critical"]
    assert [line["event"] for line in critical][-2:] == ["admission.break-glass", "admission.break-glass-used"]
    assert all(line["key_id"] == key["key_id"] for line in critical[-2:])
    assert CANARY not in site.log.getvalue()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"reason": "because"}, 422),
        ({"note": "short"}, 422),
        ({"minutes": 241}, 422),
        ({"minutes": 0}, 422),
        ({"scopes": ["keys:write"]}, 403),
        ({"tenant": "other"}, 422),
    ],
)
def test_what_no_key_for_an_emergency_may_be(caller, changes, status):
    wanted = {"owner": "Dr. Sato", "reason": "drill", "note": "the yearly exercise"} | changes
    assert_problem(caller.post("/v1/admin/break-glass", json=wanted), status)


def test_a_change_by_another_process_holds_within_a_second(site, caller):
    """The operator's own process, which has the database and no connection to this one but Redis."""
    issued = issue(caller)
    key_id = issued["key"]["key_id"]
    with site.client(issued["secret"]) as client:
        assert client.get("/v1/models").status_code == 200

        async def elsewhere():
            from gateway.admission.changes import Changes
            from gateway.admission.key_store import KeyStore
            from gateway.admission.keys import KeyMaker
            from gateway.database import create_engine

            engine, changes = create_engine(site.settings.database), Changes(site.settings.redis)
            await KeyStore(engine, KeyMaker(b"p" * 32), changes=changes).revoke(key_id)
            await changes.close()
            await engine.dispose()

        site.run(elsewhere())
        began = time.monotonic()
        while client.get("/v1/models").status_code == 200:
            assert time.monotonic() - began < 1
