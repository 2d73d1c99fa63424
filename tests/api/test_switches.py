"""What an operator switches off is refused within a second, with an error that says so, and it is on record."""

from __future__ import annotations

import time
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.support.problems import assert_problem
from tests.support.site import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.support.site import Site

PNG = {"content-type": "image/png"}


def grey_png() -> bytes:
    buffer = BytesIO()
    Image.new("L", (64, 64), 40).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def all_on_again(site: Site) -> Iterator[None]:
    yield
    for switch in site.run(site.app.state.services.switches.list()):
        site.run(site.app.state.services.switches.turn_on(switch.kind, switch.name))


@pytest.fixture
def operator(site: Site) -> Iterator[httpx.Client]:
    with site.client(site.key("switches:read", "switches:write", "switches:all", "audit:read")) as client:
        yield client


def predict(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/predict", content=grey_png(), headers=PNG)


def key_id(client: httpx.Client) -> str:
    return "key_" + client.headers["authorization"].split("_")[1]


def test_everything_off_refuses_images_and_lets_operators_work(caller: httpx.Client, operator: httpx.Client) -> None:
    assert predict(caller).status_code == 200
    off = operator.put("/v1/admin/switches/all/all", json={"reason": "incident", "note": "see the runbook"})
    assert off.status_code == 200, off.text
    for route in ("/v1/predict", "/v1/deidentify"):
        refused = caller.post(route, content=grey_png(), headers=PNG)
        assert_problem(refused, 503)
        assert refused.json()["type"].endswith("switched-off")
        assert int(refused.headers["retry-after"]) > 0
    assert caller.get("/v1/models").status_code == 200
    listed = operator.get("/v1/admin/switches").json()["switches"]
    everything = [(entry["reason"], entry["note"]) for entry in listed if entry["kind"] == "all"]
    assert everything == [("incident", "see the runbook")]
    assert operator.delete("/v1/admin/switches/all/all").status_code == 204
    assert predict(caller).status_code == 200


def test_a_key_that_is_off_is_refused_everywhere_and_no_other(site: Site, operator: httpx.Client) -> None:
    with site.client(site.key("predict")) as one, site.client(site.key("predict")) as two:
        assert operator.put(f"/v1/admin/switches/key/{key_id(one)}", json={"reason": "leak"}).status_code == 200
        for answer in (predict(one), one.get("/v1/models")):
            assert_problem(answer, 403)
            assert answer.json()["type"].endswith("suspended")
        assert predict(two).status_code == 200


def test_a_tenant_that_is_off_is_refused(site: Site, operator: httpx.Client) -> None:
    with site.client(site.key("predict", tenant="partner")) as partner:
        assert predict(partner).status_code == 200
        assert operator.put("/v1/admin/switches/tenant/partner", json={"reason": "contract"}).status_code == 200
        assert_problem(predict(partner), 403)


def test_a_model_that_is_off_is_not_asked(site: Site, caller: httpx.Client, operator: httpx.Client) -> None:
    assert operator.put(f"/v1/admin/switches/model/{MODEL}", json={"reason": "model-fault"}).status_code == 200
    refused = predict(caller)
    assert_problem(refused, 503)
    assert "model" in refused.json()["detail"]
    deidentified = caller.post("/v1/deidentify", content=grey_png(), headers=PNG)
    assert deidentified.status_code == 200


def test_another_process_holds_to_it_within_a_second(site: Site, operator: httpx.Client) -> None:
    """Another process knows what it read last; here the look at the switches is made as old as it may get."""
    from gateway.admission.switches import Switches
    from gateway.errors import SwitchedOff

    elsewhere = Switches(site.app.state.services.engine, cache_seconds=site.settings.admission.key_cache_seconds)
    site.run(elsewhere.check_model(MODEL))
    operator.put(f"/v1/admin/switches/model/{MODEL}", json={"reason": "test"})
    began = time.monotonic()
    while True:
        try:
            site.run(elsewhere.check_model(MODEL))
        except SwitchedOff:
            break
        assert time.monotonic() - began < 1.0


def test_switches_are_on_record_without_the_note(operator: httpx.Client) -> None:
    off = operator.put("/v1/admin/switches/tenant/partner", json={"reason": "abuse", "note": "Anna Canary called"})
    page = operator.get("/v1/admin/audit", params={"request_id": off.headers["x-request-id"]})
    changed, started = page.json()["records"]
    assert (changed["type"], started["type"]) == ("switch.changed", "request.started")
    assert "Canary" not in page.text


def test_who_may_switch_what(site: Site) -> None:
    with site.client(site.key("switches:read", "switches:write", "keys:write", tenant="partner")) as own:
        assert own.put("/v1/admin/switches/tenant/partner", json={"reason": "test"}).status_code == 200
        assert site.run(site.app.state.services.switches.turn_on("tenant", "partner"))
        for target, status in (("tenant/st-mary", 404), ("key/key_AAAAAAAAAAAA", 404), ("all/all", 403)):
            assert_problem(own.put(f"/v1/admin/switches/{target}", json={"reason": "test"}), status)
        assert_problem(own.put(f"/v1/admin/switches/model/{MODEL}", json={"reason": "test"}), 403)
        site.run(site.app.state.services.switches.turn_off("tenant", "st-mary", reason="test", by="cli"))
        site.run(site.app.state.services.switches.turn_on("tenant", "partner"))
        assert own.get("/v1/admin/switches").json() == {"switches": []}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("all/some", {"reason": "test"}),
        ("tenant/all", {"reason": "because"}),
        ("door/front", {"reason": "test"}),
        ("tenant/partner", {}),
        ("tenant/partner", {"reason": "test", "note": "x" * 501}),
        ("tenant/partner", {"reason": "test", "unknown": 1}),
    ],
)
def test_what_cannot_be_switched(operator: httpx.Client, path: str, body: dict[str, object]) -> None:
    assert_problem(operator.put(f"/v1/admin/switches/{path}", json=body), 422)
