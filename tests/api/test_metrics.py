"""What /metrics tells of a running gateway: every metric there is, in bounded number, and of nobody."""

from __future__ import annotations

import re
import secrets
import socket
import string
import threading
import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest

from gateway.telemetry.catalogue import FAMILIES
from tests.support import canaries
from tests.support.metrics import names, numbers
from tests.support.site import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.site import Site

IMAGE = {"Content-Type": "image/png"}
DICOM = {"Content-Type": "application/dicom"}


@pytest.fixture
def site(running_site: Site) -> Site:
    running_site.listen()
    return running_site


def metrics(site: Site) -> str:
    return generate_latest(site.app.state.metrics).decode()


def shown(site: Site) -> set[str]:
    return {re.sub(r"_(count|sum|bucket)$", "", name) for name in names(metrics(site))}


def until(site: Site, condition: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """Gauges are read about once a second: wait for it."""
    end = time.monotonic() + 30
    while not condition(told := numbers(metrics(site))):
        assert time.monotonic() < end, told
        time.sleep(0.05)
    return told


def all_read(told: dict[str, float]) -> bool:
    """Whether each group of gauges was read once."""
    return {'cordon_dependency_up{dependency="keys"}', "cordon_keys_good", "cordon_disk_free_ratio"} <= told.keys()


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {series: value - before.get(series, 0) for series, value in after.items() if value != before.get(series, 0)}


def test_every_metric_of_the_catalogue_is_told(site: Site) -> None:
    with site.client(site.key()) as client, site.client("stranger") as stranger:
        assert client.post("/v1/predict", content=canaries.dicom().body, headers=DICOM).status_code == 200
        assert stranger.get("/v1/models").status_code == 401
    until(site, all_read)
    told = set(re.findall(r"^# TYPE (\S+)", metrics(site), re.MULTILINE))
    assert told == {family.name for family in FAMILIES}
    assert {family.name for family in FAMILIES if not family.labels} <= shown(site)


def test_a_prediction_is_counted_once_in_each_step(site: Site) -> None:
    with site.client(site.key()) as client:
        before = numbers(metrics(site))
        answer = client.post("/v1/predict", content=canaries.dicom(frames=3).body, headers=DICOM)
        assert answer.status_code == 200
        site.lines_of(answer)  # its end was noted
        counted = grown(before, numbers(metrics(site)))
    assert counted['cordon_http_requests_total{route="POST /v1/predict",status="2xx"}'] == 1
    assert counted['cordon_http_request_seconds_count{route="POST /v1/predict"}'] == 1
    for step in ("admit", "queue", "ingest", "deid", "preprocess", "infer", "audit"):
        assert counted[f'cordon_step_seconds_count{{step="{step}"}}'] == 1, step
    assert counted['cordon_inference_images_sum{model="brain_mri_resnet50",version="1"}'] == 3
    assert counted["cordon_deid_frames_looked_at_total"] >= 1
    assert counted['cordon_deid_objects_total{media_type="application/dicom"}'] == 1
    report = answer.json()["deidentification"]
    for action, count in report["actions"].items():
        assert counted[f'cordon_deid_elements_total{{action="{action}"}}'] == count, action


@pytest.mark.parametrize(
    ("scopes", "plan", "policy", "times"),
    [(("docs:read",), "unlimited-internal", "scope", 1), (("predict",), "trial", "window", 4)],
)
def test_a_denial_is_counted_by_its_policy(
    site: Site, scopes: tuple[str, ...], plan: str, policy: str, times: int
) -> None:
    before = numbers(metrics(site))
    with site.client(site.key(*scopes, plan=plan)) as client:
        statuses = [client.get("/v1/models").status_code for _ in range(times)]
    counted = grown(before, numbers(metrics(site)))
    denied = sum(value for name, value in counted.items() if f'cordon_denials_total{{policy="{policy}"' in name)
    assert denied == sum(status in {403, 429} for status in statuses) > 0


def test_a_strangers_credential_is_counted_by_what_was_wrong_with_it(site: Site) -> None:
    before = numbers(metrics(site))
    with site.client("nonsense") as client:
        client.get("/v1/models")
    [(series, count)] = [
        pair for pair in grown(before, numbers(metrics(site))).items() if pair[0].startswith("cordon_denials_total")
    ]
    assert series.startswith('cordon_denials_total{policy="unauthenticated",reason="')
    assert count == 1


def test_hostile_traffic_adds_no_series_and_leaves_no_mark(site: Site) -> None:
    mark = canaries.MARK
    key = site.key()
    with site.client(key) as client, site.client(f"cdn_{mark}") as stranger:

        def traffic(some: str) -> None:
            client.get(f"/v1/{some}")
            client.get(f"/v1/admin/keys/{some}")
            client.post("/v1/predict", params={"model": some}, content=b"x", headers=IMAGE)
            client.post("/v1/predict", params={some: some}, content=b"x", headers={"Content-Type": f"image/{some}"})
            client.get("/v1/models", headers={"X-Request-ID": f"{some}-00000000", "traceparent": some})
            stranger.get("/v1/models", headers={"X-API-Key": some})
            raw(site, f"PROPFIND /v1/{some} HTTP/1.1\r\nHost: {some}\r\nConnection: close\r\n\r\n")
            raw(site, f"GET /{some} HTTP/9.{some}\r\n\r\n")

        until(site, all_read)
        traffic(mark)
        first = set(numbers(metrics(site)))
        for _ in range(20):
            traffic(mark + "".join(secrets.choice(string.ascii_letters) for _ in range(12)))
        head = f"HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: 0\r\nContent-Type: image/png\r\n"
        models = [f"POST /v1/predict?model={mark}{number} {head}\r\n" for number in range(1000)]
        raw(site, "".join(models) + f"GET /health {head}Connection: close\r\n\r\n")
        text = metrics(site)
    new = {series for series in set(numbers(text)) - first if "_bucket{" not in series}
    assert len(new) <= 10, new  # of a thousand: routes and problems of ours that had not been met
    assert mark.lower() not in text.lower()
    assert re.search(r"key_\w{6}", text) is None
    assert "st-mary" not in text
    assert len(numbers(text)) < 2000


def raw(site: Site, request: str) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        sending = threading.Thread(target=connection.sendall, args=(request.encode(),))
        sending.start()
        while connection.recv(65536):
            pass
        sending.join()


def test_the_public_port_has_no_metrics(site: Site) -> None:
    with site.client(site.key()) as client:
        assert client.get("/metrics").status_code == 404


def test_a_model_that_fails_is_seen(site: Site) -> None:
    series = 'cordon_breaker{model="brain_mri_resnet50",state="closed",version="1"}'
    with site.client(site.key()) as client:
        site.model.state = "down"
        try:
            for _ in range(site.settings.triton.breaker_failures):
                client.post("/v1/predict", content=canaries.png().body, headers=IMAGE)
            until(site, lambda told: told[series] == 0)
        finally:
            site.model.state = "up"
            site.run(site.app.state.services.inference.ready(MODEL, "1"))
        assert client.post("/v1/predict", content=canaries.png().body, headers=IMAGE).status_code == 200
    until(site, lambda told: told[series] == 1)
