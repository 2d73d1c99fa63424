"""No identifier passes step 3: planted in everything that can hold text, found in nothing that comes out.

Outputs searched: the answer and its headers, a de-identified object, error bodies, the gateway's log, Triton's log, the
metrics, the traces, the database and the checkpoints byte by byte, every key and value in Valkey.
"""

from __future__ import annotations

import httpx
import pytest
import redis

from gateway.telemetry.tracing import ATTRIBUTES
from tests.support import canaries
from tests.support.collector import Collector, attributes
from tests.support.gateway import running_gateway

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def collector():
    with Collector().serve() as collector:
        yield collector


@pytest.fixture(scope="module")
def gateway(stack, tmp_path_factory, collector):
    told = {
        "LOG_LEVEL": "DEBUG",
        "TRACES_ENDPOINT": collector.url,
        "TRACES_RATIO": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        # The web framework's own telemetry tells paths and exceptions: its switch must do nothing here.
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.removesuffix("/v1/traces"),
    }
    with running_gateway(stack, tmp_path_factory.mktemp("canaries"), **told) as running:
        yield running


def _everything(gateway, stack, collector, *answers) -> bytes:
    for answer in answers:
        collector.wait_for(answer.headers["x-request-id"])
    metrics = httpx.get(gateway.metrics_url).content
    assert b"cordon_http_requests_total" in metrics
    outputs = [*collector.bodies, metrics, gateway.log, *(path.read_bytes() for path in stack.state.logs.glob("*.log"))]
    outputs += [path.read_bytes() for path in gateway.folder.glob("c*") if path.is_file()]
    with redis.Redis.from_url(stack.valkey.url) as client:
        for key in client.scan_iter():
            outputs.append(key + (client.dump(key) or b""))
    for answer in answers:
        outputs.append(answer.content)
        outputs += [f"{name}: {value}".encode() for name, value in answer.headers.items()]
    return b"\n".join(outputs)


@pytest.mark.parametrize(
    ("plant", "media_type"),
    [
        (canaries.dicom, "application/dicom"),
        (lambda: canaries.dicom(frames=3), "application/dicom"),
        (canaries.jpeg, "image/jpeg"),
        (canaries.png, "image/png"),
    ],
    ids=["dicom", "multi-frame dicom", "jpeg", "png"],
)
def test_no_planted_value_comes_out_of_an_answered_request(gateway, stack, collector, plant, media_type):
    planted = plant()
    name = f"{canaries.MARK}^Name.dcm"
    with gateway.client() as client:
        raw = client.post("/v1/predict", content=planted.body, headers={"Content-Type": media_type})
        form = client.post("/v1/predict", files={"image": (name, planted.body, media_type)})
    assert (raw.status_code, form.status_code) == (200, 200), (raw.text, form.text)
    assert canaries.found(planted.canaries, _everything(gateway, stack, collector, raw, form)) == []


@pytest.mark.parametrize(
    ("plant", "media_type"),
    [
        (lambda: canaries.dicom(document=False), "application/dicom"),
        (lambda: canaries.dicom(document=False, frames=3), "application/dicom"),
        (canaries.jpeg, "image/jpeg"),
        (canaries.png, "image/png"),
    ],
    ids=["dicom", "multi-frame dicom", "jpeg", "png"],
)
def test_no_planted_value_comes_out_of_a_deidentified_object(gateway, stack, collector, plant, media_type):
    planted = plant()
    name = f"{canaries.MARK}^Name.dcm"
    url = "/v1/deidentify"
    with gateway.client() as client:
        answers = [
            client.post(url, content=planted.body, headers={"Content-Type": media_type}),
            client.post(url, files={"image": (name, planted.body, media_type)}),
            client.post(url, content=planted.body, headers={"Content-Type": media_type, "Accept": "multipart/related"}),
        ]
    assert [answer.status_code for answer in answers] == [200] * 3, answers[0].text[:500]
    assert canaries.found(planted.canaries, _everything(gateway, stack, collector, *answers)) == []


def test_no_planted_value_comes_out_of_a_refused_request(gateway, stack, collector):
    planted = canaries.dicom()
    mark = canaries.MARK
    with gateway.client() as client:
        answers = [
            client.post("/v1/predict", content=planted.body, headers={"Content-Type": "image/png"}),
            client.post("/v1/predict", content=planted.body[:-3000], headers={"X-Patient": mark}),
            client.post("/v1/predict", params={"frames": mark}, content=planted.body),
            client.post("/v1/predict", params={"model": mark}, content=planted.body),
            client.post("/v1/predict", params={mark: mark}, content=planted.body),
            client.post(f"/v1/{mark}", content=planted.body),
            client.post("/v1/predict", files={mark: (mark, planted.body)}),
            client.post("/v1/deidentify", content=planted.body, headers={"Content-Type": "image/png"}),
            client.post("/v1/deidentify", content=planted.body),
            client.post("/v1/deidentify", content=planted.body[:-3000], headers={"Accept": mark}),
            client.post("/v1/deidentify", params={"policy": mark}, content=planted.body),
            client.post("/v1/deidentify", params={mark: mark}, files={mark: (mark, planted.body)}),
            client.post("/v1/predict", content=mark.encode() * 100, headers={"Content-Type": f"text/{mark}"}),
            client.get("/v1/predict", headers={"X-Request-ID": f"{mark} {mark}", "traceparent": mark}),
            client.get("/v1/models", headers={"Authorization": f"Bearer {mark}", "User-Agent": mark, "Referer": mark}),
            client.post("/v1/admin/keys", json={"owner": {"x": mark}, mark: mark, "scopes": mark}),
        ]
    assert [answer.status_code for answer in answers if not 400 <= answer.status_code < 500] == []
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    assert canaries.found(planted.canaries, _everything(gateway, stack, collector, *answers)) == []


def test_a_trace_has_the_requests_steps_and_nothing_that_a_caller_chose_but_the_ids(gateway, collector):
    parent, trace_id = "00f067aa0ba902b7", "4bf92f3577b34da6a3ce929d0e0e4736"
    planted = canaries.dicom(frames=2)
    with gateway.client() as client:
        headers = {"Content-Type": "application/dicom", "traceparent": f"00-{trace_id}-{parent}-01"}
        answer = client.post("/v1/predict", content=planted.body, headers=headers)
        assert answer.status_code == 200
        unsampled = {"traceparent": f"00-{trace_id[::-1]}-{parent}-00"}
        assert client.get("/v1/models", headers=unsampled).status_code == 200
        client.get(f"/{canaries.MARK}")
    collector.wait_for(answer.headers["x-request-id"])
    spans = [span for span in collector.spans if span.trace_id.hex() == trace_id]
    by_name = {span.name: span for span in spans}
    request = by_name.pop("POST /v1/predict")
    assert request.parent_span_id.hex() == parent
    assert set(by_name) == {"admit", "queue", "ingest", "deid", "preprocess", "infer", "audit"}
    assert {span.parent_span_id for span in by_name.values()} == {request.span_id}
    for span in by_name.values():
        assert request.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano, span.name
        assert span.end_time_unix_nano <= request.end_time_unix_nano, span.name
    said = attributes(request)
    assert said["http.route"] == "/v1/predict"
    assert said["http.response.status_code"] == 200
    assert said["cordon.request_id"] == answer.headers["x-request-id"]
    assert attributes(by_name["infer"])["cordon.images"] == 2
    assert {name for span in collector.spans for name in attributes(span)} <= ATTRIBUTES
    assert trace_id[::-1] not in {span.trace_id.hex() for span in collector.spans}, "its caller's word is kept"
    assert trace_id.encode() in gateway.log
