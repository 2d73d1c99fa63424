"""Which version of a model answers: a caller may name it, an operator may change it, and both are on record."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.support.problems import assert_problem
from tests.support.processes import within
from tests.support.site import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.support.site import Site

PINNED = "X-Model-Version"
ADMIN = f"/v1/admin/models/{MODEL}"


@pytest.fixture(autouse=True)
def the_file_holds_again(site: Site) -> Iterator[None]:
    yield
    site.model.version = "1"
    with site.client(site.key("models:write")) as client:
        assert client.post(f"{ADMIN}/rollback", json={"reason": "test", "to": "1"}).status_code == 200


@pytest.fixture
def operator(site: Site) -> Iterator[httpx.Client]:
    with site.client(site.key("models:read", "models:write", "audit:read", "predict")) as client:
        yield client


def predict(client: httpx.Client, *versions: str, **more: str) -> httpx.Response:
    buffer = BytesIO()
    Image.new("L", (64, 64), 40).save(buffer, "PNG")
    headers = [("Content-Type", "image/png"), *((PINNED, version) for version in versions), *more.items()]
    return client.post("/v1/predict", content=buffer.getvalue(), headers=headers)


def digests(client: httpx.Client) -> dict[str, str]:
    [model] = client.get("/v1/models").json()["models"]
    return {each["version"]: each["digest"] for each in model["versions"]}


def test_a_caller_may_name_the_version_and_is_told_which_one_answered(site: Site, operator: httpx.Client) -> None:
    offered = digests(operator)
    for version in ("1", "2"):
        site.model.version = version
        answer = predict(operator, version)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"] == {"name": MODEL, "version": version, "digest": offered[version]}
        [record] = operator.get(
            "/v1/admin/audit", params={"request_id": answer.json()["id"], "type": "request.finished"}
        ).json()["records"]
        assert (record["model_version"], record["model_digest"], record["cached"]) == (version, offered[version], False)


def test_a_version_that_is_not_on_offer_or_none_is_refused_before_the_body_is_read(operator: httpx.Client) -> None:
    assert_problem(predict(operator, "9"), 404, "unknown-version")
    for wrong in ("", "two", "01", "1;2", "-1"):
        assert_problem(predict(operator, wrong), 422, "invalid-parameter")
    assert_problem(predict(operator, "1", "2"), 422, "invalid-parameter")


def test_one_idempotency_key_is_for_one_version(site: Site, operator: httpx.Client) -> None:
    key = {"Idempotency-Key": "versions-of-a-model"}
    assert predict(operator, "1", **key).status_code == 200
    assert predict(operator, "1", **key).headers["Idempotency-Replayed"] == "true"
    site.model.version = "2"
    assert_problem(predict(operator, "2", **key), 422, "invalid-parameter")


def test_a_rollback_needs_no_model_server_and_reaches_callers_at_once(site: Site, operator: httpx.Client) -> None:
    site.model.version = "2"
    done = operator.post(f"{ADMIN}/rollback", json={"reason": "release", "note": "to the new one", "to": "2"})
    assert done.status_code == 200, done.text
    assert {each["version"]: each["share"] for each in done.json()["versions"]} == {"1": 0, "2": 100}
    assert predict(operator).json()["model"]["version"] == "2"
    assert operator.get("/v1/models").json()["models"][0]["version"] == "2"
    assert within(3, lambda: operator.get("/readiness").json()["models"] == {MODEL: "ok"})  # asked once a second
    [changed] = operator.get("/v1/admin/models").json()["models"]
    assert (changed["changed"]["action"], changed["changed"]["note"]) == ("rollback", "to the new one")
    record = operator.get("/v1/admin/audit", params={"type": "model.changed"}).json()["records"][0]
    assert (record["version"], record["shares"], record["reason"]) == ("2", {"2": 100}, "release")
    assert record["actor"] == changed["changed"]["changed_by"]
    assert "to the new one" not in str(record)


@pytest.mark.parametrize(
    ("act", "body", "told"),
    [
        ("canary", {"version": "2", "percent": 10, "reason": "canary"}, (503, "model-unavailable")),  # none is there
        ("load", {"version": "2", "reason": "release"}, (503, "model-unavailable")),
        ("warm", {}, (503, "model-unavailable")),
        ("canary", {"version": "9", "percent": 10, "reason": "canary"}, (404, "unknown-version")),
        ("canary", {"version": "2", "percent": 101, "reason": "canary"}, (422, "invalid-parameter")),
        ("canary", {"version": "2", "percent": 10}, (422, "invalid-parameter")),
        ("unload", {"version": "1", "reason": "test"}, (409, "conflict")),
        ("rollback", {"reason": "because"}, (422, "invalid-parameter")),
        ("rollback", {"reason": "test"}, (409, "conflict")),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(
    site: Site, operator: httpx.Client, act: str, body: dict, told: tuple[int, str]
) -> None:
    assert site.settings.triton.url == "127.0.0.1:1"
    before = operator.get("/v1/admin/models").json()
    assert_problem(operator.post(f"{ADMIN}/{act}", json=body), *told)
    assert operator.get("/v1/admin/models").json() == before


def test_it_needs_the_scope_and_a_model(operator: httpx.Client, site: Site) -> None:
    assert_problem(operator.post("/v1/admin/models/other/rollback", json={"reason": "test"}), 404, "unknown-model")
    with site.client(site.key("models:read", "switches:all")) as client:
        assert client.get("/v1/admin/models").status_code == 200
        assert_problem(client.post(f"{ADMIN}/rollback", json={"reason": "test"}), 403, "forbidden")
