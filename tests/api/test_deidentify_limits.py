"""POST /v1/deidentify where something is short: time, memory, a scope, the audit store, the caller's patience."""

from __future__ import annotations

import shutil
import signal
import socket
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from gateway.audit.search import Filters
from gateway.settings import AdmissionSettings, DeidSettings, HttpSettings, IngestSettings
from tests.support import objects
from tests.support.problems import assert_problem
from tests.support.site import ALL_SCOPES, Site, settings_for

ROUTE = "/v1/deidentify"
SHIPPED = Path(__file__).resolve().parents[2] / "policies"
ANSWER_BYTES = 10 * 2**20
DICOM = {"Content-Type": "application/dicom"}


def _offer_another(folder: Path) -> tuple[Path, Path]:
    """The shipped policies, and a second one on offer that leaves no pseudonym; the default stays ``basic``."""
    shutil.copytree(SHIPPED / "deid", folder / "deid")
    own = folder / "deid" / "basic.yaml"
    other = own.read_text().replace("name: basic", "name: other", 1).replace("patient: pseudonym", "patient: empty", 1)
    (folder / "deid" / "other.yaml").write_text(other)
    access = yaml.safe_load((SHIPPED / "access.yaml").read_text())
    access["scopes"] |= {"deidentify:other": "For tests", "deidentify:internal-qa": "For tests"}
    (folder / "access.yaml").write_text(yaml.safe_dump(access))
    return folder / "access.yaml", own


@pytest.fixture(scope="module")
def small(valkey_server, tmp_path_factory):
    """A gateway with little time and little room, and with a policy on offer besides its own."""
    folder = tmp_path_factory.mktemp("small")
    access, own = _offer_another(folder)
    site = Site(
        settings_for(
            folder,
            valkey_server.url,
            http=HttpSettings(
                max_body_bytes=32 * 2**20,
                max_inflight_bytes=48 * 2**20,
                object_deadline_seconds=5.0,
                max_answer_bytes=ANSWER_BYTES,
                answer_timeout_seconds=1.0,
            ),
            admission=AdmissionSettings(key_pepper="p" * 32, access_policy=access),
            deid=DeidSettings(key="d" * 32, policy=own),
            ingest=IngestSettings(worker_processes=1, worker_seconds=20.0),
        )
    ).start()
    yield site
    site.stop()


@pytest.fixture
def caller(small):
    small.listen()
    with small.client(small.key()) as client:
        yield client


@contextmanager
def stopped_worker():
    """The one worker holds still, as if its file were endless; whoever waits for it has it killed."""
    workers = [each for each in psutil.Process().children() if "worker_main" in " ".join(each.cmdline())]
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            if worker.is_running():
                worker.send_signal(signal.SIGCONT)


def finished_like(site, wanted, seconds=10.0):
    """The newest record of a request's end, once it is as wanted."""
    end = time.monotonic() + seconds
    while True:
        page = site.run(site.app.state.parts.audit.find(Filters(type="request.finished"), None, 1))
        record = page.records[0].fields
        if all(record[name] == value for name, value in wanted.items()):
            return record
        assert time.monotonic() < end, record
        time.sleep(0.05)


@pytest.mark.parametrize(
    "body", [objects.mr(frames=2), objects.report(), objects.raster("JPEG")], ids=["mr", "sr", "jpeg"]
)
def test_another_gateway_gives_the_same_bytes(small, running_site, body):
    """Other processes, another database, the same key and policy: nothing is drawn by lot, timed, or remembered."""
    answers = []
    for site in (small, running_site):
        with site.client(site.key()) as client:
            headers = {"Content-Type": "application/octet-stream", "Accept": "multipart/related"}
            answers.append(client.post(ROUTE, content=body, headers=headers))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content


def test_the_deadline(small, caller):
    began = time.monotonic()
    with stopped_worker():
        response = caller.post(ROUTE, content=objects.mr(), headers=DICOM)
    assert_problem(response, 504, "deadline-exceeded")
    assert time.monotonic() - began < 8
    assert caller.post(ROUTE, content=objects.mr(), headers=DICOM).status_code == 200


def test_a_caller_who_leaves_stops_the_work_and_is_on_record(small, caller):
    with stopped_worker():
        with small.client(small.key()) as leaving:
            leaving.timeout = 0.3
            with pytest.raises(Exception, match="timed out"):
                leaving.post(ROUTE, content=objects.mr(), headers=DICOM)
        record = finished_like(small, {"problem": "client-gone"}, seconds=3.0)
    assert (record["status"], record["route"], record["output_digest"]) == (499, f"POST {ROUTE}", "")
    assert caller.post(ROUTE, content=objects.mr(), headers=DICOM).status_code == 200


def test_an_object_that_is_too_large_to_give_back(small, caller):
    body = objects.mr(size=128, frames=350, alike=True)
    assert len(body) > ANSWER_BYTES
    response = caller.post(ROUTE, content=body, headers=DICOM)
    problem = assert_problem(response, 422, "image-too-large")
    assert problem["limit"] == ANSWER_BYTES


def test_the_memory_for_an_answer_is_counted_and_given_back(small, caller):
    inflight = small.app.state.parts.gate.inflight
    body = objects.mr(size=128, frames=60, alike=True)
    with small.client(small.key()) as client:
        answer = client.post(ROUTE, content=body, headers=DICOM)
    assert answer.status_code == 200
    assert len(answer.content) > 1.5 * 2**20
    _until(lambda: inflight.held == 0)

    inflight.held += inflight.total - len(body) - 2**20  # as if others held it: the body fits, the answer does not
    try:
        assert_problem(caller.post(ROUTE, content=body, headers=DICOM), 503, "temporary-reduced-capacity")
    finally:
        inflight.held = 0
    finished_like(small, {"problem": "overloaded", "outcome": "failed", "output_digest": ""})


def test_a_caller_who_does_not_read_is_cut_off(small):
    """The object is held, and counted, no longer than the time that a caller has to read it."""
    inflight = small.app.state.parts.gate.inflight
    body = objects.mr(size=128, frames=300, alike=True)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", small.port))
        head = f"POST {ROUTE} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {small.key()}\r\n"
        connection.sendall(f"{head}Content-Type: application/dicom\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        connection.sendall(body)
        began = time.monotonic()
        _until(lambda: inflight.held > len(body), 5)  # the body and the answer
        _until(lambda: inflight.held == 0, 5)
        assert time.monotonic() - began < 6
        received = bytearray()
        while piece := connection.recv(2**20):
            received += piece
    assert received.startswith(b"HTTP/1.1 200")
    assert len(received) < len(body)


def test_the_audit_store_is_down(small, caller):
    engine = small.app.state.services.engine
    connection = sqlite3.connect(engine.url.database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        response = caller.post(ROUTE, content=objects.mr(), headers=DICOM)
    finally:
        connection.execute("ROLLBACK")
        connection.close()
    assert_problem(response, 503, "audit-unavailable")
    assert "deidentification-report" not in response.headers
    _until(lambda: caller.post(ROUTE, content=objects.mr(), headers=DICOM).status_code == 200, 10)


def test_a_policy_needs_its_scope(small):
    granted = small.key(*ALL_SCOPES, "deidentify:other")
    with small.client(small.key()) as client:
        problem = assert_problem(_under(client, "other"), 403, "forbidden")
        assert problem["scope"] == "deidentify:other"
        assert _patient(_under(client, "basic")) != ""
    with small.client(granted) as client:
        assert _patient(_under(client, "other")) == ""
        assert _patient(client.post(ROUTE, content=objects.mr(), headers=DICOM)) != ""
        assert 'policy="other"' in _under(client, "other").headers["deidentification-report"]
        for unheard in ("research.yaml", "../access", "WIDER", "unheard-of"):
            assert_problem(_under(client, unheard), 422, "invalid-parameter")
    assert finished_like(small, {"problem": "invalid-parameter"})["deidentification"] == {}


def test_uids_that_a_policy_keeps_stand_in_the_object_alone(small):
    with small.client(small.key("deidentify", "deidentify:internal-qa")) as client:
        response = _under(client, "internal-qa")
        parts = client.post(
            ROUTE,
            params={"policy": "internal-qa"},
            content=objects.mr(),
            headers=DICOM | {"Accept": "multipart/related"},
        )
    assert response.status_code == 200, response.text
    before, after = objects.read(objects.mr()), objects.read(response.content)
    assert after.SOPInstanceUID == before.SOPInstanceUID
    heads = str(response.headers.raw)
    for uid in (before.SOPInstanceUID, before.SeriesInstanceUID, before.StudyInstanceUID):
        assert uid not in heads
    assert response.headers["deidentification-pseudonyms"] == f'patient="{after.PatientID}"'
    _, _, said = objects.parts_of(parts.headers, parts.content)
    assert said["pseudonyms"] == {"patient": after.PatientID, "study": None, "series": None, "instance": None}


def test_every_shipped_policy_that_is_on_offer_works(small):
    offered = [scope for scope in small.app.state.parts.access.scopes if scope.startswith("deidentify:")]
    assert {"deidentify:research", "deidentify:safe-harbor", "deidentify:longitudinal"} <= set(offered)
    digests = set()
    with small.client(small.key("deidentify", *offered)) as client:
        for scope in offered:
            policy = scope.partition(":")[2]
            for body in (objects.mr(), objects.report()):
                response = client.post(ROUTE, params={"policy": policy}, content=body, headers=DICOM)
                assert response.status_code == 200, (policy, response.text)
                found = objects.read(response.content)
                assert found.PatientIdentityRemoved == "YES"
                assert [needle for needle in objects.NEEDLES[:3] if needle in response.content] == []
            digests.add(response.headers["deidentification-report"].split(", ")[1])
    assert len(digests) == len(offered)


def test_a_policy_is_decided_before_the_body_is_read(small):
    small.listen()
    with small.client(small.key()) as client:
        response = client.post(
            ROUTE, params={"policy": "other"}, content=objects.mr(size=1000), headers={"Content-Type": "text/x-not"}
        )
    assert_problem(response, 403, "forbidden")


def test_only_a_holder_may_give_the_scope_of_a_policy_to_a_key(small):
    new = {"owner": "Partner", "plan": "partner", "scopes": ["deidentify", "deidentify:other"]}
    with small.client(small.key("keys:write")) as client:
        assert assert_problem(client.post("/v1/admin/keys", json=new), 403)["scope"] == "deidentify:other"
        allowed = client.post("/v1/admin/keys", json=new | {"scopes": ["deidentify"]})
        assert allowed.status_code == 201, allowed.text


def _under(client, policy):
    return client.post(ROUTE, params={"policy": policy}, content=objects.mr(), headers=DICOM)


def _patient(response):
    assert response.status_code == 200, response.text
    return str(objects.read(response.content).PatientID)


def _until(true, seconds=5.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
