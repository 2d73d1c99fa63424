"""Admission: decided from the head, before the body is read."""

from __future__ import annotations

import socket
import time

import psutil
import pytest

from tests.support.problems import assert_problem
from tests.support.site import MAX_BODY

MIB = 2**20


class Endless:
    """A body that counts how much of it was taken."""

    def __init__(self, size: int) -> None:
        self.size, self.taken = size, 0

    def __iter__(self):
        chunk = b"\0" * 65536
        while self.taken < self.size:
            self.taken += len(chunk)
            yield chunk


def test_a_strangers_body_is_not_read(site, stranger):
    before = psutil.Process().memory_info().rss
    body = Endless(100 * MIB)

    response = stranger.post("/v1/predict", content=body, headers={"Content-Length": str(100 * MIB)})

    assert_problem(response, 401, "unauthenticated")
    assert response.headers["connection"] == "close"
    assert response.headers["www-authenticate"].startswith("Bearer")
    # What left the caller sits in the two sockets' buffers; nothing of it came to the application.
    assert body.taken < 20 * MIB
    assert psutil.Process().memory_info().rss - before < 30 * MIB
    line, *_ = lines = site.lines_of(response)
    assert [each["bytes_in"] for each in lines if each["event"] == "http.answered"] == [0]
    assert line["reason"] == "missing"


def test_a_stranger_hears_the_refusal_however_often_he_sends(site):
    # Closing a connection with unread bytes may reset it before the answer is read. It must not.
    for _ in range(20):
        with site.client() as client:
            response = client.post("/v1/predict", content=Endless(8 * MIB), headers={"Content-Length": str(8 * MIB)})
        assert_problem(response, 401, "unauthenticated")


def test_no_continue_is_sent_to_a_stranger(site):
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as connection:
        head = b"POST /v1/predict HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 4"), answer[:40]  # 401, and no "100 Continue" before it


def test_the_key_without_the_scope(site):
    with site.client(site.key("keys:read")) as client:
        body = Endless(MAX_BODY)
        response = client.post("/v1/predict", content=body, headers={"Content-Length": str(MAX_BODY)})
    assert_problem(response, 403, "forbidden")


def test_an_unknown_path_is_not_read_either(stranger):
    body = Endless(100 * MIB)
    response = stranger.post("/v1/nothing", content=body, headers={"Content-Length": str(100 * MIB)})
    assert_problem(response, 404, "not-found")
    assert body.taken < 20 * MIB


def test_another_method_names_those_that_there_are(stranger):
    response = stranger.delete("/health")
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET, HEAD"


def test_head_answers_as_get_without_a_body(stranger):
    get, head = stranger.get("/health"), stranger.head("/health")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]


def test_a_body_that_says_it_is_too_large_is_not_read(caller):
    body = Endless(100 * MIB)
    response = caller.post("/v1/predict", content=body, headers={"Content-Length": str(100 * MIB)})
    assert_problem(response, 413, "body-too-large")
    assert body.taken < 20 * MIB


def test_a_body_that_turns_out_too_large_is_read_no_further(caller):
    body = Endless(100 * MIB)
    response = caller.post("/v1/predict", content=body, headers={"Content-Type": "image/png"})  # chunked
    assert_problem(response, 413, "body-too-large")
    assert response.headers["connection"] == "close"
    assert body.taken < 20 * MIB


def test_a_large_json_body_is_refused_though_an_image_of_that_size_is_not(caller):
    response = caller.post("/v1/admin/keys", content=b"[" * (65 * 1024), headers={"Content-Type": "application/json"})
    assert_problem(response, 413, "body-too-large")


def test_a_large_json_body_in_chunks(caller):
    response = caller.post("/v1/admin/keys", content=Endless(MIB), headers={"Content-Type": "application/json"})
    assert_problem(response, 413, "body-too-large")


def test_a_body_where_none_belongs(caller):
    assert_problem(caller.request("GET", "/v1/models", content=b"x"), 400, "malformed-body")


def test_a_slow_body_is_given_up(site, key):
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        head = f"POST /v1/predict HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {key}\r\nContent-Type: image/png\r\n"
        connection.sendall(head.encode() + b"Content-Length: 1000\r\n\r\n" + b"\x89PNG")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in answer
    assert 0.9 < time.monotonic() - began < 5


def test_a_caller_who_leaves_in_the_middle_of_his_body(site, key):
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        head = f"POST /v1/predict HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {key}\r\nContent-Type: image/png\r\n"
        head += "X-Request-ID: leaves-early-1\r\n"
        connection.sendall(head.encode() + b"Content-Length: 1000\r\n\r\n" + b"\x89PNG")
        time.sleep(0.1)
    deadline = time.monotonic() + 5
    while not (ended := [line for line in site.lines() if line.get("request_id") == "leaves-early-1"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (ended[-1]["status"], ended[-1]["problem"]) == (499, "client-gone")
    with site.client(key) as client:
        page = client.get("/v1/admin/audit", params={"request_id": "leaves-early-1"}).json()
    assert [(record["status"], record["outcome"]) for record in page["records"]] == [(499, "failed")]
    assert site.run(_held(site)) == 0


async def _held(site) -> int:
    return int(site.app.state.parts.gate.inflight.held)


def test_the_limit_is_told_before_and_when_it_is_used_up(site):
    with site.client(site.key("predict", plan="trial")) as client:
        answers = [client.get("/v1/models") for _ in range(6)]
    first, last = answers[0], answers[-1]
    assert first.status_code == 200
    assert '"burst";q=3;w=1' in first.headers["ratelimit-policy"]
    assert first.headers["ratelimit"].startswith('"burst";r=2')
    problem = assert_problem(last, 429, "quota-exceeded")
    assert problem["violated-policies"] == ["burst"]
    assert "r=0" in last.headers["ratelimit"]
    assert int(last.headers["retry-after"]) >= 1


def test_errors_of_an_admitted_caller_carry_his_limits(site):
    with site.client(site.key("predict", plan="trial")) as client:
        response = client.post("/v1/predict", content=b"x", headers={"Content-Type": "text/plain"})
    assert_problem(response, 415, "unsupported-media-type")
    assert "ratelimit" in response.headers


def test_memory_for_bodies_is_set_aside_before_they_come(site):
    # Each chunked body may grow to the maximum, and one caller may hold half of the memory: two of them.
    waiting = []
    key = site.key("predict")
    head = f"POST /v1/predict HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {key}\r\nContent-Type: image/png\r\n"
    try:
        for _ in range(2):
            connection = socket.create_connection(("127.0.0.1", site.port), timeout=10)
            waiting.append(connection)
            connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        deadline = time.monotonic() + 0.9
        while site.app.state.parts.gate.inflight.held < 2 * MAX_BODY:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with site.client(key) as client:
            response = client.post("/v1/predict", content=iter([b"x"]), headers={"Content-Type": "image/png"})
        assert_problem(response, 503, "temporary-reduced-capacity")
        assert int(response.headers["retry-after"]) >= 1
        # Another caller is not shut out by it.
        with site.client(site.key("predict")) as client:
            other = client.post("/v1/predict", content=iter([b"x"]), headers={"Content-Type": "image/png"})
        assert other.status_code == 415
    finally:
        for connection in waiting:
            connection.close()


@pytest.mark.parametrize("length", ["-1", "1, 2", "99999999999999999999999", "0x10"])
def test_a_content_length_that_is_no_number(site, length):
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as connection:
        connection.sendall(f"POST /v1/predict HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n".encode())
        answer = connection.recv(65536)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401"))
    assert length.encode() not in answer.split(b"\r\n\r\n", 1)[1]
