"""Try it: the same door, pipeline and record as the API's call; the picture is of sanitized pixels alone."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from gateway.embedded.samples import single_frame
from tests.support.console import SAME_ORIGIN, Visitor, new_key
from tests.support.site import MAX_BODY

PICTURE = re.compile(r'src="data:image/png;base64,([A-Za-z0-9+/=]+)"')


SAMPLE = single_frame()


@pytest.fixture
def sample():
    return SAMPLE.data


@pytest.fixture
def admin(site):
    visitor = Visitor(site)
    visitor.key_id, visitor.key = new_key(site)
    assert visitor.sign_in(visitor.key).status_code == 303
    yield visitor
    visitor.client.close()


def attempt(visitor, data, *, token=None, headers=None, **fields):
    head = visitor._head(SAME_ORIGIN | (headers or {}))
    files = {"image": ("DOE JANE.dcm", data, "application/dicom")}
    fields = {"csrf": visitor.token if token is None else token} | fields
    return visitor._keep(visitor.client.post("/console/try", data=fields, files=files, headers=head))


def records(site, answer):
    from gateway.audit.search import Filters

    page = site.run(site.app.state.parts.audit.find(Filters(request_id=answer.headers["x-request-id"])))
    return [record.fields for record in page.records]


def test_what_came_of_an_image(site, admin, sample):
    answer = attempt(admin, sample)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "img-src 'self' data:;" in answer.headers["content-security-policy"]
    [picture] = PICTURE.findall(answer.text)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))))
    assert shown.shape == (384, 384)
    assert 'class="mask"' in answer.text
    text = PICTURE.sub("", answer.text)  # in base64 any word may stand
    for planted in ("DOE", "JANE", *SAMPLE.identifiers):
        assert planted not in text
    finished = next(each for each in records(site, answer) if each["type"] == "request.finished")
    assert (finished["route"], finished["outcome"]) == ("POST /console/try", "success")
    assert finished["prediction"] in answer.text
    assert finished["deidentification"]["policy_digest"] in answer.text
    assert any(each["type"] == "request.started" for each in records(site, answer))
    with site.client(site.key()) as client:
        same = client.post("/v1/predict", content=sample, headers={"Content-Type": "application/dicom"}).json()
    assert same["prediction"] == finished["prediction"]
    for label, chance in same["probabilities"].items():
        assert f"{label}</th>" in answer.text
        assert f"{chance * 100:.1f} %" in answer.text


def test_only_the_answer_with_a_picture_may_show_one(admin):
    for answer in (admin.get("/console/try"), attempt(admin, b"nothing"), admin.get("/console")):
        assert "img-src 'self';" in answer.headers["content-security-policy"]
        assert "data:" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("data", "fields", "status", "said"),
    [
        (b"nothing", {}, 415, "Unsupported media type"),
        (b"", {}, 422, "No file was chosen"),
        (b"nothing", {"model": "no-such"}, 404, "model"),
        (b"nothing", {"frames": "0"}, 422, "frames takes"),
    ],
    ids=["no image", "empty", "model", "frames"],
)
def test_what_cannot_be_tried_is_named_and_on_record(  # noqa: PLR0917 - what is tried, and what comes of it
    site, admin, data, fields, status, said
):
    answer = attempt(admin, data, **fields)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert answer.headers["x-request-id"] in answer.text  # the way to its story
    finished = next(each for each in records(site, answer) if each["type"] == "request.finished")
    assert (finished["outcome"], finished["status"]) == ("refused", status)


def test_a_file_that_is_too_large_is_not_read(admin):
    answer = attempt(admin, bytes(MAX_BODY))
    assert answer.status_code == 413


def test_a_form_of_another_page_is_not_taken(admin, sample):
    assert attempt(admin, sample, token="A" * 43).status_code == 403
    assert attempt(admin, sample, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert admin.post("/console/try", model="x").status_code == 415


def test_who_may_not_classify_has_no_such_page(site, sample):
    visitor = Visitor(site)
    visitor.sign_in(new_key(site, "auditor")[1])
    assert visitor.get("/console/try").status_code == 403
    assert attempt(visitor, sample).status_code == 403
    assert 'href="/console/try"' not in visitor.get("/console").text
    visitor.client.close()


def test_a_model_that_is_away_is_said_so(site, admin, sample):
    site.model.state = "down"
    try:
        answer = attempt(admin, sample)
    finally:
        site.model.state = "up"
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert admin.get("/console/try").status_code == 200
