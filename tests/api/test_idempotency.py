"""Idempotency-Key: the same request sent again is answered again, not inferred again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from PIL import Image

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


def test_what_redis_holds_of_it_names_nobody(site: Site, caller: httpx.Client, once: str, valkey) -> None:
    from tests.support.canaries import dicom

    planted = dicom()
    headers = {"content-type": "application/dicom", "idempotency-key": once}
    assert caller.post("/v1/predict", content=planted.body, headers=headers).status_code == 200
    with valkey.client() as redis:
        kept = {name: redis.get(name) or "" for name in redis.keys("idem:*")}
    assert any('"answer"' in text for text in kept.values())
    for name, text in kept.items():
        assert once not in name
        for canary in planted.canaries:
            assert canary not in text.encode()


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
