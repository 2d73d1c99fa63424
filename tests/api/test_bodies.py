"""Bodies: raw or as a form's only part; whatever is wrong with one has a name, and is not repeated."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.support.problems import assert_problem

CANARY = "ZqxjKwDoe^Jane"
DISPOSITION = f'Content-Disposition: form-data; name="image"; filename="{CANARY}.png"'


@pytest.fixture(scope="module")
def png() -> bytes:
    buffer = io.BytesIO()
    grey = np.linspace(0, 255, 64 * 64, dtype=np.uint8).reshape(64, 64)
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


def form(*parts: tuple[str, bytes], boundary: str = "abcdef", end: bool = True) -> bytes:
    body = b"".join(f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts)
    return body + (f"--{boundary}--\r\n".encode() if end else b"")


def post(caller, body, content_type="multipart/form-data; boundary=abcdef"):
    response = caller.post("/v1/predict", content=body, headers={"Content-Type": content_type} if content_type else {})
    assert CANARY not in response.text
    return response


@pytest.mark.parametrize("media_type", ["image/png", "application/octet-stream", "IMAGE/PNG; charset=x"])
def test_a_raw_body(caller, png, media_type):
    response = post(caller, png, media_type)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["id"] == response.headers["x-request-id"]
    assert answer["prediction"] in answer["probabilities"]
    steps = [step.split(";")[0] for step in response.headers["server-timing"].split(", ")]
    assert steps == ["admit", "ingest", "deid", "preprocess", "infer", "audit", "total"]


@pytest.mark.parametrize("part_type", ["", "\r\nContent-Type: image/png", "\r\nContent-Type: application/octet-stream"])
def test_a_form_with_the_image(caller, png, part_type):
    response = post(caller, form((DISPOSITION + part_type, png)))
    assert response.status_code == 200, response.text
    assert response.json()["prediction"] == post(caller, png, "image/png").json()["prediction"]


def test_a_form_as_a_client_library_sends_it(caller, png):
    response = caller.post("/v1/predict", files={"image": (f"{CANARY}.png", png, "image/png")})
    assert response.status_code == 200, response.text


def test_a_form_in_tiny_chunks(caller, png):
    body = form((DISPOSITION, png))
    chunks = (body[start : start + 7] for start in range(0, len(body), 7))
    assert post(caller, chunks).status_code == 200


@pytest.mark.parametrize("declared", ["image/jpeg", "application/dicom"])
def test_another_type_than_declared(caller, png, declared):
    assert_problem(post(caller, png, declared), 415, "unsupported-media-type")
    assert_problem(post(caller, form((f"{DISPOSITION}\r\nContent-Type: {declared}", png))), 415)


@pytest.mark.parametrize(
    "media_type", ["text/plain", f"text/{CANARY}", "application/json", "image/gif", "", None, "multipart/mixed"]
)
def test_types_that_are_not_taken(caller, png, media_type):
    problem = assert_problem(post(caller, png, media_type), 415, "unsupported-media-type")
    assert "image/png" in problem["accepted"]


def test_a_nested_multipart(caller, png):
    inner = form((DISPOSITION, png), boundary="inner")
    body = form((f"{DISPOSITION}\r\nContent-Type: multipart/mixed; boundary=inner", inner))
    assert_problem(post(caller, body), 415, "unsupported-media-type")


def test_a_compressed_body(caller, png):
    response = caller.post(
        "/v1/predict", content=png, headers={"Content-Type": "image/png", "Content-Encoding": "gzip"}
    )
    assert_problem(response, 415, "unsupported-media-type")


@pytest.mark.parametrize("media_type", ["image/png", "multipart/form-data; boundary=abcdef"])
def test_nothing(caller, media_type):
    body = form((DISPOSITION, b"")) if "form" in media_type else b""
    assert_problem(post(caller, body, media_type), 422, "invalid-parameter")


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        f"multipart/form-data; boundary={'x' * 71}",
        f"multipart/form-data; boundary={'x' * 5000}",
    ],
)
def test_no_usable_boundary(caller, png, content_type):
    assert_problem(post(caller, form((DISPOSITION, png)), content_type), 400, "malformed-body")


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (form(*[(DISPOSITION.replace("image", f"f{n}"), b"x") for n in range(10_000)]), 400, "malformed-body"),
        (form(*[(DISPOSITION, b"x") for n in range(3)]), 422, "invalid-parameter"),
        (form((DISPOSITION, b"x"), (DISPOSITION, b"x")), 422, "invalid-parameter"),
        (
            form((DISPOSITION, b"x"), (f'Content-Disposition: form-data; name="{CANARY}"', b"x")),
            422,
            "invalid-parameter",
        ),
        (form((f'Content-Disposition: form-data; name="{CANARY}"', b"x")), 422, "invalid-parameter"),
        (form(("Content-Disposition: attachment", b"x")), 400, "malformed-body"),
        (form((f"X-Name: {CANARY}", b"x")), 400, "malformed-body"),
        (form((f"{DISPOSITION}\r\n{DISPOSITION}", b"x")), 400, "malformed-body"),
        (form((f"{DISPOSITION}\r\nX-Long: {'x' * 9000}", b"x")), 431, "head-too-large"),
        (form((f"{'X' * 9000}: {CANARY}", b"x")), 431, "head-too-large"),
        (form(("\r\n".join([DISPOSITION, *[f"X-{n}: 1" for n in range(9)]]), b"x")), 431, "head-too-large"),
        (form((f"{DISPOSITION}\r\nX Y: {CANARY}", b"x")), 400, "malformed-body"),
        (form((DISPOSITION, b"x"), end=False), 400, "malformed-body"),
        (form((DISPOSITION, b"x"))[:30], 400, "malformed-body"),
        (b"--abcdef--\r\n", 422, "invalid-parameter"),
        (CANARY.encode(), 400, "malformed-body"),
        (b"", 400, "malformed-body"),
        (form((DISPOSITION, b"\r\n--abcdefX" * 1000)), 400, "malformed-body"),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, bytes) else str(value),
)
def test_hostile_forms(caller, body, status, slug):
    assert_problem(post(caller, body), status, slug)


@pytest.mark.parametrize("junk", [b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\0" * 128 + b"DICM", b"%PDF-1.7"])
def test_content_that_is_no_image(caller, junk):
    response = post(caller, junk + CANARY.encode(), "application/octet-stream")
    assert response.status_code in {415, 422}
    assert_problem(response, response.status_code)


@pytest.mark.parametrize(
    "query",
    [
        {"frames": CANARY},
        {"frames": "0"},
        {"frames": "1," * 300},
        {"model": CANARY * 10},
        {CANARY: "1"},
        {"frame": "all"},
        [("frames", "1"), ("frames", "2")],
    ],
)
def test_parameters_that_do_not_fit(caller, png, query):
    response = caller.post("/v1/predict", params=query, content=png, headers={"Content-Type": "image/png"})
    assert_problem(response, 422, "invalid-parameter")
    assert CANARY not in response.text


def test_a_model_that_is_not_served(caller, png):
    response = caller.post("/v1/predict", params={"model": CANARY}, content=png, headers={"Content-Type": "image/png"})
    assert_problem(response, 404, "unknown-model")
    assert CANARY not in response.text


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 60_000,
        b'{"owner":' * 6000,
        b"\xff\xfe{",
        b'{"owner": NaN}',
        b'{"owner": 1e999}',
        b"1" * 60_000,
        b'"\\ud800"',
    ],
    ids=["brackets", "objects", "no UTF-8", "NaN", "infinite", "digits", "half a character"],
)
def test_hostile_json(caller, body):
    response = caller.post("/v1/admin/keys", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in {400, 422}, response.text
    assert_problem(response, response.status_code)
