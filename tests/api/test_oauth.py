"""A client's way from its registration to an answer, on the whole gateway: POST /oauth/token and what a token opens."""

from __future__ import annotations

import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from jose import jwt

from tests.support.issuer import SigningKey, assertion
from tests.support.problems import assert_problem
from tests.support.site import URL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.site import Site

TOKEN = f"{URL}/oauth/token"
KEY, OTHER = SigningKey("one", "ES384"), SigningKey("two", "RS384")
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ADMIN = ("predict", "deidentify", "keys:write", "clients:read", "clients:write", "switches:write", "audit:read")


@pytest.fixture
def admin(site: Site) -> Iterator[httpx.Client]:
    with site.client(site.key(*ADMIN)) as client:
        yield client


@pytest.fixture(scope="module")
def client_id(running_site: Site) -> str:
    """A client for tests that change nothing about it."""
    with running_site.client(running_site.key(*ADMIN)) as admin:
        return register(admin)


def wanted(**changes: Any) -> dict[str, Any]:
    client = {"owner": "PACS", "plan": "unlimited-internal", "scopes": ["predict", "deidentify"]}
    return client | {"jwks": {"keys": [KEY.jwk]}} | changes


def register(admin: httpx.Client, **changes: Any) -> str:
    answer = admin.post("/v1/admin/clients", json=wanted(**changes))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["client_id"])


def form(client_id: str, *, key: SigningKey = KEY, scope: str = "", **changes: Any) -> dict[str, str]:
    signed = assertion(key, client_id, **{"aud": TOKEN} | changes)
    fields = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": signed}
    return fields | ({"scope": scope} if scope else {})


def ask(site: Site, fields: dict[str, str], **headers: str) -> httpx.Response:
    with site.client() as client:
        return client.post("/oauth/token", data=fields, headers=headers)


def token_of(site: Site, client_id: str, **changes: Any) -> str:
    answer = ask(site, form(client_id, **changes))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def models(site: Site, token: str) -> httpx.Response:
    with site.client(token) as client:
        return client.get("/v1/models")


def assert_oauth_error(answer: httpx.Response, status: int, error: str) -> None:
    """RFC 6749 §5.2, and a problem document in the same body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["error"] == error
    assert body["error_description"] == body["detail"]
    assert set('"\\').isdisjoint(body["error_description"])
    assert body["status"] == status
    assert body["instance"].endswith(answer.headers["x-request-id"])


def test_a_token_opens_what_its_client_may_do(site: Site, client_id: str) -> None:
    answer = ask(site, form(client_id))
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("bearer", 300, "deidentify predict")
    assert models(site, body["access_token"]).status_code == 200
    with site.client(body["access_token"]) as client:
        assert_problem(client.get("/v1/admin/audit"), 403)


def test_the_token_is_an_rfc_9068_token_under_a_published_key(site: Site, client_id: str) -> None:
    token = token_of(site, client_id, scope="predict")
    with site.client() as anyone:
        keys = anyone.get("/oauth/jwks.json").json()
    head = jwt.get_unverified_header(token)
    assert head == {"alg": "ES256", "typ": "at+jwt", "kid": keys["keys"][0]["kid"]}
    claims = jwt.decode(token, keys, algorithms=["ES256"], audience=URL, issuer=URL)
    assert (claims["sub"], claims["client_id"], claims["scope"]) == (client_id, client_id, "predict")
    assert claims["exp"] - claims["iat"] == 300
    assert claims["jti"].startswith(client_id)
    assert not {"d", "k"} & set(keys["keys"][0])


def test_the_metadata_says_where_and_how(site: Site) -> None:
    with site.client() as anyone:
        plain = anyone.get("/.well-known/oauth-authorization-server").json()
        smart = anyone.get("/.well-known/smart-configuration").json()
    assert plain["token_endpoint"] == TOKEN
    assert plain["jwks_uri"] == f"{URL}/oauth/jwks.json"
    assert plain["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
    assert smart["capabilities"] == ["client-confidential-asymmetric"]
    assert "system/ImagingStudy.c" in smart["scopes_supported"]
    assert "keys:write" not in smart["scopes_supported"]


@pytest.mark.parametrize(
    ("asked", "given", "may"),
    [
        ("predict", "predict", {"predict"}),
        ("deidentify predict", "deidentify predict", {"deidentify", "predict"}),
        ("system/ImagingStudy.c", "system/ImagingStudy.c", {"predict"}),
        ("system/ImagingStudy.c predict", "system/ImagingStudy.c predict", {"predict"}),
    ],
)
def test_a_token_holds_what_was_asked_for(site: Site, client_id: str, asked: str, given: str, may: set[str]) -> None:
    body = ask(site, form(client_id, scope=asked)).json()
    assert body["scope"] == given
    assert set(jwt.get_unverified_claims(body["access_token"])["scope"].split()) == may


@pytest.mark.parametrize("scope", ["audit:read", "predict keys:write", "system/Patient.rs", "zqxjcanary", "PREDICT"])
def test_a_scope_that_the_client_has_not(site: Site, client_id: str, scope: str) -> None:
    refused = ask(site, form(client_id, scope=scope))
    assert_oauth_error(refused, 400, "invalid_scope")
    assert scope not in refused.text


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
        ({"client_secret": "zqxjcanary"}, 400, "invalid_request"),
        ({"client_assertion": None}, 401, "invalid_client"),
        ({"client_assertion": "zqxjcanary"}, 401, "invalid_client"),
        ({"client_assertion_type": None}, 401, "invalid_client"),
        ({"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}, 401, "invalid_client"),
        ({"client_id": "client_zqxjcanary00"}, 401, "invalid_client"),
    ],
    ids=str,
)
def test_requests_that_are_refused(
    site: Site, client_id: str, change: dict[str, str | None], status: int, error: str
) -> None:
    fields = {name: value for name, value in (form(client_id) | change).items() if value is not None}
    refused = ask(site, fields)
    assert_oauth_error(refused, status, error)
    assert "zqxjcanary" not in refused.text
    assert "zqxjcanary" not in site.log.getvalue()


def test_what_a_client_may_send_besides(site: Site, client_id: str) -> None:
    """RFC 6749 §3.2: what is not known is ignored, what is empty is absent. RFC 7521 §4.2: client_id may be there."""
    more = {"client_id": client_id, "resource": "x", "scope": ""}
    assert ask(site, form(client_id) | more).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"grant_type=client_credentials&grant_type=client_credentials", "application/x-www-form-urlencoded"),
        (b"grant_type=%ff", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % number for number in range(50)), "application/x-www-form-urlencoded"),
        (b"", "application/x-www-form-urlencoded"),
        (b'{"grant_type": "client_credentials"}', "application/json"),
        (b"grant_type=client_credentials", "text/plain"),
        (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"),
    ],
)
def test_bodies_that_are_no_form(site: Site, content: bytes, kind: str) -> None:
    with site.client() as client:
        refused = client.post("/oauth/token", content=content, headers={"Content-Type": kind})
    assert_oauth_error(refused, 400, "invalid_request")


def test_a_credential_in_a_header_is_a_second_way_to_authenticate(site: Site, client_id: str) -> None:
    refused = ask(site, form(client_id), Authorization="Basic YTpi")
    assert_oauth_error(refused, 400, "invalid_request")


def test_a_body_that_is_too_large_is_not_read(site: Site) -> None:
    with site.client() as client:
        assert_problem(client.post("/oauth/token", data={"client_assertion": "x" * 20_000}), 413)
        assert_problem(client.get("/oauth/token"), 405)


def test_an_assertion_is_good_once_whoever_tries(site: Site, client_id: str) -> None:
    fields = form(client_id)
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda _: ask(site, fields), range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]
    assert_oauth_error(ask(site, fields), 401, "invalid_client")


def test_all_reasons_get_one_answer(site: Site, client_id: str) -> None:
    answers = [
        ask(site, form(client_id, key=OTHER)),
        ask(site, form("client_000000000000")),
        ask(site, form(client_id, exp=1)),
        ask(site, form(client_id) | {"client_assertion": ""}),
    ]
    bodies = [answer.json() | {"instance": ""} for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    assert {answer.status_code for answer in answers} == {401}


def test_failures_are_bounded_by_address_before_anything_costs(site: Site, admin: httpx.Client) -> None:
    client_id = register(admin)
    other = register(admin)
    with site.client() as client:
        assert client.post("/oauth/token", data=form(client_id)).status_code == 200
        for _ in range(25):
            last = client.post("/oauth/token", data=form(other, key=OTHER))
        assert_problem(last, 429)
        assert last.headers["retry-after"]
        # A good one that was never seen here waits; the client that was good here goes on.
        assert_problem(client.post("/oauth/token", data=form(other)), 429)
        assert client.post("/oauth/token", data=form(client_id)).status_code == 200
    with site.client() as elsewhere:
        assert elsewhere.post("/oauth/token", data=form(other)).status_code == 200


def test_one_budget_for_keys_and_assertions(site: Site, admin: httpx.Client) -> None:
    client_id = register(admin)
    with site.client("cdn_wrong") as client:
        for _ in range(25):
            last = client.get("/v1/models")
    assert_problem(last, 429)
    local = last.request.url  # the same address asks for a token
    assert local.host == "127.0.0.1"
    transport = client._transport
    assert isinstance(transport, httpx.HTTPTransport)
    address = transport._pool._local_address
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address), base_url=str(client.base_url)) as same:
        assert_problem(same.post("/oauth/token", data=form(client_id)), 429)


def test_a_token_of_another_tenants_client_cannot_be_revoked(site: Site, admin: httpx.Client) -> None:
    token_id = jwt.get_unverified_claims(token_of(site, register(admin)))["jti"]
    with site.client(site.key("keys:write", tenant="elsewhere")) as stranger:
        for jti in (token_id, "made-up", "client_000000000000.0123456789012345678901"):
            refused = stranger.post("/v1/admin/tokens/revoke", json={"issuer": "cordon", "jti": jti})
            assert_problem(refused, 404)


def test_what_is_ended_is_refused_within_a_second_on_record(site: Site, admin: httpx.Client) -> None:
    """One token, and all of a client: disabled, removed, switched off."""
    revoked, disabled, removed, switched = (register(admin) for _ in range(4))
    tokens = {client_id: token_of(site, client_id) for client_id in (revoked, disabled, removed, switched)}
    other = token_of(site, revoked)
    assert {models(site, token).status_code for token in tokens.values()} == {200}

    token_id = jwt.get_unverified_claims(tokens[revoked])["jti"]
    ended = admin.post("/v1/admin/tokens/revoke", json={"issuer": "cordon", "jti": token_id})
    assert ended.status_code == 204, ended.text
    assert admin.post(f"/v1/admin/clients/{disabled}/disable").status_code == 200
    assert admin.delete(f"/v1/admin/clients/{removed}").status_code == 204
    assert admin.put(f"/v1/admin/switches/key/{switched}", json={"reason": "test"}).status_code == 200
    time.sleep(0.6)  # no process may trust what it knew for longer than half a second

    for client_id in (revoked, disabled, removed):
        assert_problem(models(site, tokens[client_id]), 401)
    assert_problem(models(site, tokens[switched]), 403, "suspended")
    assert models(site, other).status_code == 200
    for client_id in (disabled, removed):
        assert_oauth_error(ask(site, form(client_id)), 401, "invalid_client")
    assert_oauth_error(ask(site, form(switched)), 400, "unauthorized_client")
    page = admin.get("/v1/admin/audit", params={"request_id": ended.headers["x-request-id"]})
    assert [record["type"] for record in page.json()["records"]] == ["token.revoked", "request.started"]


def test_a_token_never_outlives_its_client(site: Site, admin: httpx.Client) -> None:
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 100))
    body = ask(site, form(register(admin, expires_at=ends))).json()
    assert 90 < body["expires_in"] <= 100


def test_tokens_count_on_the_clients_windows(site: Site, admin: httpx.Client) -> None:
    client_id = register(admin, plan="standard")
    answers = [ask(site, form(client_id)) for _ in range(3)]
    assert all("ratelimit" in answer.headers for answer in answers)
    left = [int(re.findall(r'"day";r=(\d+)', answer.headers["ratelimit"])[0]) for answer in answers]
    assert left == [left[0], left[0] - 1, left[0] - 2]


def test_a_store_that_cannot_say_whether_it_was_used_gives_no_token(site: Site, client_id: str) -> None:
    """Another process holds the database's write lock; nothing is taken on trust, and nothing hangs."""
    engine = site.app.state.services.engine
    fields = form(client_id)
    with closing(sqlite3.connect(engine.url.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        refused = ask(site, fields)
        assert_problem(refused, 503, "store-unavailable")
        assert time.monotonic() - began < 10
        assert refused.headers["retry-after"]
        other.execute("ROLLBACK")
    assert ask(site, fields).status_code == 200  # it was not used up


def test_what_is_on_record_of_a_token(site: Site, admin: httpx.Client) -> None:
    client_id = register(admin)
    answer = ask(site, form(client_id, scope="predict"))
    page = admin.get("/v1/admin/audit", params={"request_id": answer.headers["x-request-id"]}).json()
    [record] = page["records"]
    assert (record["type"], record["actor"], record["tenant"]) == ("token.issued", client_id, "st-mary")
    assert (record["scopes"], record["seconds"]) == (["predict"], 300)
    assert record["token"] == jwt.get_unverified_claims(answer.json()["access_token"])["jti"]


def test_refusals_are_on_record_as_counts(site: Site, admin: httpx.Client) -> None:
    client_id = register(admin)
    with site.client() as client:
        for _ in range(3):
            client.post("/oauth/token", data=form(client_id, key=OTHER))
    site.run(site.app.state.services.denials._flush())
    page = admin.get("/v1/admin/audit", params={"type": "access.denied", "actor": client_id}).json()
    [record] = page["records"]
    assert (record["kind"], record["reason"], record["count"]) == ("unauthenticated", "assertion-key", 3)


def test_neither_assertion_nor_token_is_logged(site: Site, client_id: str) -> None:
    fields = form(client_id)
    answer = ask(site, fields)
    assert site.lines_of(answer)
    log = site.log.getvalue()
    for secret in (fields["client_assertion"], answer.json()["access_token"]):
        assert secret.split(".")[2] not in log
