"""The console's door: who comes in, for how long, and whose forms are taken."""

from __future__ import annotations

import re
import time

import pytest

from gateway.admission.sessions import COOKIE
from tests.support.console import SAME_ORIGIN, TENANT, Visitor, new_key


@pytest.fixture
def visitor(site):
    visitor = Visitor(site)
    yield visitor
    visitor.client.close()


@pytest.fixture
def admin(site, visitor):
    """Someone signed in who may do everything."""
    visitor.key_id, visitor.key = new_key(site)
    assert visitor.sign_in(visitor.key).status_code == 303
    return visitor


def records(site, **filters):
    from gateway.audit.search import Filters

    page = site.run(site.app.state.parts.audit.find(Filters(**filters)))
    return [record.fields for record in page.records]


def test_the_cookie_is_held_as_tightly_as_a_browser_can(site, visitor):
    answer = visitor.sign_in(new_key(site)[1])
    assert answer.headers["location"] == "/console"
    [line] = answer.headers.get_list("set-cookie")
    value, *attributes = line.split("; ")
    assert re.fullmatch(rf"{COOKIE}=[A-Za-z0-9_-]{{43}}", value)
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"]


def test_pages_tell_the_browser_what_it_may_do(admin):
    for path in ("/console", "/console/keys", "/console/nothing", "/console/login"):
        headers = admin.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "camera=()" in headers["permissions-policy"]


def test_signing_in_takes_a_new_id_and_ends_the_one_before(site, visitor):
    key = new_key(site)[1]
    visitor.cookie = planted = "A" * 43
    assert visitor.sign_in(key).status_code == 303
    first = visitor.cookie
    assert first != planted
    assert visitor.sign_in(key).status_code == 303
    assert visitor.cookie != first
    assert visitor.get("/console").status_code == 200
    visitor.cookie = first
    assert visitor.get("/console").status_code == 401


def test_a_cookie_opens_no_call_of_the_api(admin):
    assert admin.get("/v1/admin/keys").status_code == 401
    assert admin.get("/v1/models").status_code == 401


def test_a_key_opens_no_page(site, admin):
    with site.client(admin.key) as client:
        assert client.get("/console").status_code == 401


def test_two_cookies_are_none(admin):
    answer = admin.client.get("/console", headers={"Cookie": f"{COOKIE}={admin.cookie}; {COOKIE}={'A' * 43}"})
    assert answer.status_code == 401


def test_after_signing_out_the_cookie_is_worth_nothing(site, admin):
    cookie = admin.cookie
    answer = admin.post("/console/logout")
    assert answer.headers["location"] == "/console/login"
    assert admin.cookie == ""
    admin.cookie = cookie
    assert admin.get("/console").status_code == 401
    assert {"session.started", "session.ended"} <= {each["type"] for each in records(site, actor=admin.key_id)}


def test_a_revoked_key_ends_the_session_within_a_second(site, admin):
    assert admin.get("/console").status_code == 200
    site.run(site.app.state.parts.keys.revoke(admin.key_id))
    time.sleep(1.0)
    assert admin.get("/console").status_code == 401


def test_a_rotated_secret_ends_the_sessions_that_were_opened_with_it(site, admin):
    site.run(site.app.state.parts.keys.rotate(admin.key_id))
    time.sleep(1.0)
    assert admin.get("/console").status_code == 401


def test_a_suspended_key_sees_why(site, admin):
    switches = site.app.state.parts.switches
    site.run(switches.turn_off("key", admin.key_id, reason="test", by="cli"))
    time.sleep(1.0)
    answer = admin.get("/console")
    site.run(switches.turn_on("key", admin.key_id))
    assert answer.status_code == 403
    assert "suspended by the operator" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    ],
)
def test_a_form_from_elsewhere_is_refused(admin, headers):
    elsewhere = "tenant:from-elsewhere"
    answer = admin.post("/console/switches/off", headers, target=elsewhere, reason="test")
    assert answer.status_code == 403
    assert "was not sent from a page of this console" in answer.text
    assert elsewhere not in admin.get("/console/switches").text


def test_a_browser_that_says_its_origin_alone_is_believed(site, admin):
    form = {"csrf": admin.token, "target": f"tenant:{TENANT}"}
    cookie = {"Cookie": f"{COOKIE}={admin.cookie}"}
    own, other = f"http://127.0.0.1:{site.port}", "http://127.0.0.1.example"
    for origin, status in ((own, 422), (other, 403), ("null", 403), (None, 403)):
        headers = cookie | ({"Origin": origin} if origin else {})
        answer = admin.client.post("/console/switches/off", data=form, headers=headers)
        assert answer.status_code == status, origin  # 422: taken, and the reason is missing


def test_a_form_without_the_sessions_token_is_refused(site, admin):
    other = Visitor(site)
    other.sign_in(new_key(site)[1])
    for token in ("", "A" * 43, other.token):
        admin.token = token
        answer = admin.post("/console/switches/off", csrf=token, target=f"tenant:{TENANT}", reason="test")
        assert answer.status_code == 403, token
        assert "not of this session" in answer.text
    other.client.close()


def test_a_key_without_the_scope_cannot_sign_in(site, visitor):
    answer = visitor.sign_in(site.key("predict"))
    assert answer.status_code == 403
    assert "it lacks the scope console" in answer.text
    assert visitor.cookie == ""


def test_a_page_for_which_the_right_is_missing_names_it(site, visitor):
    visitor.sign_in(new_key(site, "operator")[1])
    for path, scope in (
        ("/console/keys", "keys:read"),
        ("/console/audit", "audit:read"),
        ("/console/keys/new", "keys:write"),
    ):
        answer = visitor.get(path)
        assert answer.status_code == 403
        assert f"needs the scope {scope}" in answer.text
    home = visitor.get("/console").text
    assert 'href="/console/switches"' in home
    assert 'href="/console/keys"' not in home


def test_failed_attempts_are_bounded_by_address_and_on_record(site, visitor):
    wrong = f"cdn_{'A' * 12}_{'A' * 49}"
    for _ in range(20):
        assert visitor.sign_in(wrong).status_code == 401
    answer = visitor.sign_in(wrong)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert wrong not in answer.text
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        found = [each for each in records(site, type="access.denied") if each["route"] == "POST /console/login"]
        if {"unauthenticated", "quota"} <= {each["kind"] for each in found}:
            return
        time.sleep(0.2)
    pytest.fail("the failed attempts are not on record")


def test_one_comes_back_to_where_one_wanted_to_go_and_nowhere_else(site, visitor):
    key = new_key(site)[1]
    page = visitor.get("/console/audit?outcome=failed")
    assert page.status_code == 401
    assert 'name="next" value="/console/audit?outcome=failed"' in page.text
    assert (
        visitor.sign_in(key, next="/console/audit?outcome=failed").headers["location"]
        == "/console/audit?outcome=failed"
    )
    for evil in ("//evil.example/console", "https://evil.example/console", "/console\\evil", "/v1/models", "/consolex"):
        assert visitor.sign_in(key, next=evil).headers["location"] == "/console", evil


def test_a_large_form_is_refused_from_its_head(site, visitor):
    answer = visitor.post("/console/login", key="a" * (16 * 2**10))
    assert answer.status_code == 413
    assert "<h1>The body is too large</h1>" in answer.text


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"key=%ff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=1" for _ in range(300)), "application/x-www-form-urlencoded", 400),
        (b"key=a&key=b", "application/x-www-form-urlencoded", 400),
        (b'{"key": "a"}', "application/json", 415),
    ],
)
def test_a_broken_form_is_a_page_that_says_so(visitor, body, kind, status):
    answer = visitor.client.post("/console/login", content=body, headers=SAME_ORIGIN | {"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_what_redis_holds_opens_nothing(site, admin, valkey_server):
    with valkey_server.client() as redis:
        names = redis.keys("session*")
        held = "".join(names) + "".join(str(redis.get(name)) for name in names if name.startswith("session:"))
    assert admin.key_id in held
    for secret in (admin.cookie, admin.key, admin.token, "127.0.1.", "Ada"):
        assert secret not in held


def test_a_script_whose_session_has_ended_is_told_to_load_the_page_again(visitor):
    answer = visitor.get("/console/keys", HX_Request="true")
    assert answer.status_code == 401
    assert answer.headers["hx-refresh"] == "true"


def test_one_can_end_ones_other_sessions(site, admin):
    other = Visitor(site)
    other.sign_in(admin.key)
    assert "This one" in admin.get("/console/session").text
    assert admin.post("/console/session/end-others").status_code == 303
    assert other.get("/console").status_code == 401
    assert admin.get("/console").status_code == 200
    other.client.close()
