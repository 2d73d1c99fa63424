"""No marked value in any log line or error, wherever it was planted: file name, header, query, path, body, key."""

from __future__ import annotations

import logging
import socket
import warnings
from typing import TYPE_CHECKING

import pytest

from tests.support import canaries

if TYPE_CHECKING:
    from tests.support.site import Site

MARK = canaries.MARK
WEBSOCKET = (
    "Upgrade: websocket\r\nConnection: upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
)


@pytest.fixture
def site(running_site: Site) -> Site:
    running_site.listen()
    running_site.log.seek(0)
    running_site.log.truncate()  # a test before may have sent a mark as what is kept: a well-formed request ID
    return running_site


def requests():
    """Name to what one caller sends."""
    dicom, jpeg = canaries.dicom().body, canaries.jpeg(256).body
    yield "raw DICOM", {"content": dicom, "headers": {"Content-Type": "application/dicom"}}
    yield "raw JPEG", {"content": jpeg, "headers": {"Content-Type": "image/jpeg"}}
    yield "file name", {"files": {"image": (f"{MARK}Doe.jpg", jpeg, "image/jpeg")}}
    yield "field name", {"files": {f"{MARK}field": (f"{MARK}Doe.jpg", jpeg, "image/jpeg")}}
    yield "part type", {"files": {"image": (f"{MARK}.jpg", jpeg, f"image/{MARK}")}}
    yield "form values", {"data": {"patient": MARK}, "files": {"image": ("x", jpeg, "image/jpeg")}}
    yield "query", {"params": {"frames": MARK}, "content": jpeg, "headers": {"Content-Type": "image/jpeg"}}
    yield "query name", {"params": {MARK: "1"}, "content": jpeg, "headers": {"Content-Type": "image/jpeg"}}
    yield "model", {"params": {"model": MARK}, "content": jpeg, "headers": {"Content-Type": "image/jpeg"}}
    yield "broken DICOM", {"content": dicom[:-500], "headers": {"Content-Type": "application/dicom"}}
    yield "broken JPEG", {"content": jpeg[: len(jpeg) // 2], "headers": {"Content-Type": "image/jpeg"}}
    yield "no image", {"content": MARK.encode() * 99, "headers": {"Content-Type": "image/jpeg"}}
    yield "type", {"content": jpeg, "headers": {"Content-Type": f"image/{MARK}"}}
    yield "boundary", {"content": jpeg, "headers": {"Content-Type": f"multipart/form-data; boundary={MARK}"}}
    yield (
        "headers",
        {
            "content": jpeg,
            "headers": {
                "Content-Type": "image/jpeg",
                "Referer": f"http://pacs/{MARK}",
                "User-Agent": MARK,
                "Cookie": f"patient={MARK}",
                "X-Forwarded-For": MARK,
                "X-Patient": MARK,
                "X-Request-ID": f"{MARK}^Doe",
                "traceparent": MARK,
            },
        },
    )


def assert_no_mark(text: str | bytes, where: str) -> None:
    assert MARK.encode() not in (text.encode() if isinstance(text, str) else text), where


@pytest.mark.parametrize("route", ["/v1/predict", "/v1/deidentify"])
def test_no_request_leaves_a_marked_value(site, route):
    with site.client(site.key()) as client:
        for name, request in requests():
            response = client.post(route, **request)
            assert response.status_code < 500, (name, response.text)
            assert_no_mark(response.content, name)
            assert_no_mark(str(response.headers), name)
        for path in (f"/v1/{MARK}", f"/v1/admin/keys/{MARK}/revoke", f"/{MARK}?x={MARK}", f"{route}/{MARK}"):
            assert_no_mark(client.post(path, content=MARK.encode()).content, path)
        for body in ({MARK: MARK}, [MARK], MARK, {"owner": MARK, "plan": MARK}):
            assert_no_mark(client.post("/v1/admin/keys", json=body).content, "keys")
    with site.client(f"cdn_{MARK}") as stranger:
        assert_no_mark(stranger.post(route, content=MARK.encode()).content, "key")
        assert_no_mark(stranger.post(route, headers={"X-API-Key": MARK}).content, "key")
    assert_no_mark(site.log.getvalue(), "log")


def test_every_line_of_a_request_has_its_id(site):
    with site.client(site.key()) as client:
        answers = [client.get("/v1/models", headers={"X-Request-ID": f"pacs-{n:08}"}) for n in range(3)]
    for answer in answers:
        of_it = site.lines_of(answer)
        [access] = [line for line in of_it if line["event"] == "http.answered"]
        assert access["route"] == "GET /v1/models"
        assert access["tenant"] == "st-mary"
        assert access["key_id"].startswith("key_")


def test_what_is_not_http_leaves_no_marked_value(site):
    for data in (
        f"{MARK} / HTTP/9\r\n\r\n",
        f"GET /{MARK} HTTP/1.1\r\nHost: t\r\n{WEBSOCKET}\r\n\r\n",
        f"GET /health HTTP/1.1\r\nHost: t\r\n{MARK}\r\n\r\n",
        f"GET /health HTTP/1.1\r\nX-{MARK}: {'x' * 40_000}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", site.port), timeout=5) as connection:
            connection.sendall(data.encode())
            connection.shutdown(socket.SHUT_WR)
            assert_no_mark(connection.recv(65536), data[:20])
    assert_no_mark(site.log.getvalue(), "log")


def test_libraries_that_log_values_are_not_shown(site):
    async def fails() -> None:
        raise ValueError(MARK)

    async def forgotten() -> None:
        import asyncio
        import gc

        task = asyncio.create_task(fails())
        await asyncio.sleep(0.01)
        del task
        gc.collect()

    site.run(forgotten())
    logging.getLogger("pydicom").error("Invalid value %s", MARK)
    logging.getLogger("careless").error(f"patient {MARK}")  # noqa: G004 - as a careless library would
    logging.getLogger("uvicorn.error").error("in %s", MARK, exc_info=ValueError(MARK))
    logging.getLogger("uvicorn.error").error(f"Traceback (most recent call last):\n  {MARK}")  # noqa: G004
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.getLogger("py.warnings").warning("%s", MARK)
    text = site.log.getvalue()
    assert "ValueError" in text
    assert "a line withheld" in text
    assert_no_mark(text, "log")
