"""Idempotency-Key: the same request sent again is answered again, not inferred again."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from PIL import Image
from redis import Redis

from tests.support.problems import assert_problem

if TYPE_CHECKING:
    import httpx

    from tests.support.site import Site


def png(tone: int = 40) -> bytes:
    buffer = BytesIO()
    Image.new("L", (64, 64), tone).save(buffer, "PNG")
    return buffer.getvalue()


def predict(client: httpx.Client, key: str, data: bytes | None = None, **params: str) -> httpx.Response:
    headers = {"content-type": "image/png", "idempotency-key": key}
    return client.post("/v1/predict", content=data or png(), headers=headers, params=params)


@pytest.fixture
def once() -> str:
    return str(uuid4())


def test_the_answer_comes_again_and_the_model_is_asked_once(site: Site, caller: httpx.Client, once: str) -> None:
    first = predict(caller, once)
    assert first.status_code == 200, first.text
    inferred = len(site.model.requests)
    again = predict(caller, f'"{once}"')  # as the draft writes it
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len(site.model.requests) == inferred


def test_the_audit_log_tells_a_replay_from_an_inference(caller: httpx.Client, once: str) -> None:
    first, again = predict(caller, once), predict(caller, once)
    page = caller.get("/v1/admin/audit", params={"request_id": again.headers["x-request-id"]}).json()
    (record,) = page["records"]
    assert record["type"] == "request.finished"
    assert record["replay_of"] == first.headers["x-request-id"]


@pytest.mark.parametrize("change", ["body", "frames"])
def test_the_key_of_another_request_is_refused(caller: httpx.Client, once: str, change: str) -> None:
    assert predict(caller, once).status_code == 200
    refused = predict(caller, once, png(41)) if change == "body" else predict(caller, once, frames="middle")
    assert_problem(refused, 422)


def test_another_tenants_key_is_another_key(site: Site, caller: httpx.Client, once: str) -> None:
    assert predict(caller, once).status_code == 200
    with site.client(site.key("predict", tenant="elsewhere")) as stranger:
        answer = predict(stranger, once, png(41))
    assert answer.status_code == 200
    assert "idempotency-replayed" not in answer.headers


def test_of_many_at_once_one_is_inferred(site: Site, caller: httpx.Client, once: str) -> None:
    site.model.delay = 0.5
    inferred = len(site.model.requests)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: predict(caller, once), range(8)))
    assert len(site.model.requests) == inferred + 1
    assert sorted({answer.status_code for answer in answers}) in ([200, 409], [200])
    for answer in answers:
        if answer.status_code == 409:
            assert_problem(answer, 409)
            assert int(answer.headers["retry-after"]) >= 1
    assert predict(caller, once).headers["idempotency-replayed"] == "true"


def test_after_a_failure_trying_again_tries_again(site: Site, caller: httpx.Client, once: str) -> None:
    site.model.state = "down"
    assert_problem(predict(caller, once), 503)
    site.model.state = "up"
    answer = predict(caller, once)
    assert answer.status_code == 200, answer.text
    assert "idempotency-replayed" not in answer.headers


@pytest.mark.parametrize("bad", ["", '"open', "a b", "x" * 129, "tab\there", 'quo"te'])
def test_a_key_that_is_none_is_refused_before_the_body_is_looked_at(caller: httpx.Client, bad: str) -> None:
    refused = predict(caller, bad)
    assert_problem(refused, 422)
    assert refused.json()["parameter"] == "Idempotency-Key"


def test_two_keys_are_refused(caller: httpx.Client) -> None:
    headers = [("content-type", "image/png"), ("idempotency-key", "a"), ("idempotency-key", "b")]
    assert_problem(caller.post("/v1/predict", content=png(), headers=headers), 422)


def everything_in(redis: Redis) -> bytes:
    """All names, and all that is stored under them, as Redis itself would save it and as it is read."""
    found = bytearray()
    for name in redis.scan_iter(count=1000):
        found += name + (redis.dump(name) or b"")
        match redis.type(name):
            case b"string":
                found += redis.get(name) or b""
            case b"hash":
                found += b"".join(part for pair in redis.hgetall(name).items() for part in pair)
            case b"zset":
                found += b"".join(redis.zrange(name, 0, -1))
            case b"set":
                found += b"".join(redis.smembers(name))
            case other:
                raise AssertionError(other)
    return bytes(found)


def test_nothing_of_a_request_is_in_redis(site: Site, key: str, once: str, valkey) -> None:
    from tests.support.canaries import MARK, dicom

    planted = dicom()
    plan = "trial"  # one with windows: the limiter writes too
    marked = f"{MARK}-accession-4711"
    with site.client(site.key("predict", plan=plan)) as client:
        headers = {"idempotency-key": marked, "user-agent": MARK, "referer": f"https://x/{MARK}", "x-patient": MARK}
        files = {"image": (f"{MARK}.dcm", planted.body, "application/dicom")}
        first = client.post("/v1/predict", files=files, headers=headers, params={"frames": "all"})
        again = client.post("/v1/predict", files=files, headers=headers, params={"frames": "all"})
    assert first.status_code == 200, first.text
    assert again.headers["idempotency-replayed"] == "true"
    with Redis(unix_socket_path=str(valkey.socket)) as redis:
        kept = everything_in(redis)
    assert first.json()["id"].encode() in kept  # the answer is there
    for canary in (*planted.canaries, marked.encode(), MARK.encode()):
        assert canary not in kept
    # Nor anything that a guess can be held against: digests without a key.
    for text in (planted.body, marked.encode(), f"st-mary\n{marked}".encode(), b"st-mary"):
        for digest in (hashlib.sha256(text), hashlib.sha1(text), hashlib.md5(text)):
            assert digest.digest() not in kept
            assert digest.hexdigest().encode()[:16] not in kept


@pytest.fixture
def admin(site: Site):
    with site.client(site.key("keys:read", "keys:write", "predict", tenant=f"t{uuid4().hex[:8]}")) as client:
        yield client


def issue(client: httpx.Client, once: str, owner: str = "PACS") -> httpx.Response:
    wanted = {"owner": owner, "plan": "standard", "scopes": ["predict"]}
    return client.post("/v1/admin/keys", json=wanted, headers={"idempotency-key": once})


def test_a_key_is_issued_once_and_its_secret_is_told_once(admin: httpx.Client, once: str, valkey) -> None:
    before = len(admin.get("/v1/admin/keys").json()["keys"])
    first, again = issue(admin, once), issue(admin, once)
    assert first.status_code == 201, first.text
    problem = assert_problem(again, 409, "already-done")
    assert problem["key_id"] == first.json()["key"]["key_id"]
    assert problem["first_request"] == first.headers["x-request-id"]
    assert len(admin.get("/v1/admin/keys").json()["keys"]) == before + 1
    assert first.json()["secret"] not in again.text
    with Redis(unix_socket_path=str(valkey.socket)) as redis:
        kept = everything_in(redis)
    assert first.json()["secret"].rsplit("_", 1)[1].encode() not in kept
    assert b"PACS" not in kept
    assert_problem(issue(admin, once, owner="another"), 422)
    assert issue(admin, str(uuid4())).status_code == 201


def test_what_was_refused_may_be_tried_again(admin: httpx.Client, once: str) -> None:
    wanted = {"owner": "PACS", "plan": "none-such", "scopes": ["predict"]}
    for _ in range(2):
        refused = admin.post("/v1/admin/keys", json=wanted, headers={"idempotency-key": once})
        assert_problem(refused, 422)
        assert "plan" in refused.json()["detail"]


def test_a_rotation_is_done_once(site: Site, admin: httpx.Client, once: str) -> None:
    issued = issue(admin, str(uuid4())).json()
    path = f"/v1/admin/keys/{issued['key']['key_id']}/rotate"
    first = admin.post(path, headers={"idempotency-key": once})
    assert first.status_code == 200, first.text
    problem = assert_problem(admin.post(path, headers={"idempotency-key": once}), 409, "already-done")
    assert problem["key_id"] == issued["key"]["key_id"]
    with site.client(first.json()["secret"]) as rotated:  # the second one did not end it
        assert rotated.get("/v1/models").status_code == 200


def test_of_many_at_once_one_key_is_issued(admin: httpx.Client, once: str) -> None:
    before = len(admin.get("/v1/admin/keys").json()["keys"])
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: issue(admin, once), range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 5]
    assert len(admin.get("/v1/admin/keys").json()["keys"]) == before + 1


def test_the_record_of_a_call_that_was_not_done_again_says_so(site: Site, caller: httpx.Client, once: str) -> None:
    first, again = issue(caller, once), issue(caller, once)
    page = caller.get("/v1/admin/audit", params={"request_id": again.headers["x-request-id"]}).json()
    [record] = page["records"]
    assert (record["type"], record["status"], record["problem"]) == ("request.finished", 409, "already-done")
    assert record["replay_of"] == first.headers["x-request-id"]


@pytest.mark.parametrize("bad", ["", "a b", '"open'])
def test_a_key_that_is_none_is_refused_here_too(admin: httpx.Client, bad: str) -> None:
    assert_problem(issue(admin, bad), 422, "invalid-parameter")


def test_where_sending_again_changes_nothing_the_header_changes_nothing(caller: httpx.Client, once: str) -> None:
    headers = {"content-type": "image/png", "idempotency-key": once}
    answers = [caller.post("/v1/deidentify", content=png(tone), headers=headers) for tone in (40, 40, 41)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].content == answers[1].content != answers[2].content


def test_without_redis_it_is_refused_and_without_the_header_it_is_served(
    site: Site, caller: httpx.Client, once: str, valkey
) -> None:
    with valkey.client() as redis:
        redis.client_pause(3000)
        try:
            refused = predict(caller, once)
            plain = caller.post("/v1/predict", content=png(), headers={"content-type": "image/png"})
        finally:
            redis.client_unpause()
    assert_problem(refused, 503)
    assert "Idempotency-Key" in refused.json()["detail"]
    assert plain.status_code == 200
