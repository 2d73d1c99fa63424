"""POST /v1/deidentify: the object comes back without its patient, and what was done is said and on record."""

from __future__ import annotations

import hashlib
import io
import re

import pytest
from PIL import Image

from gateway.audit.search import Filters
from tests.support import objects
from tests.support.problems import assert_problem

ROUTE = "/v1/deidentify"
BODIES = {
    "application/dicom": objects.mr,
    "image/jpeg": lambda: objects.raster("JPEG"),
    "image/png": lambda: objects.raster("PNG"),
}
GIVEN_BACK = {
    "application/dicom": {"application/dicom"},
    "image/jpeg": {"image/jpeg", "image/png"},  # a JPEG cannot be masked without losing more than the mask
    "image/png": {"image/png"},
}


def post(caller, body, media_type="application/dicom", **options):
    headers = {"Content-Type": media_type} | options.pop("headers", {})
    response = caller.post(ROUTE, content=body, headers=headers, **options)
    said = response.content + str(response.headers.raw).encode()
    assert [needle for needle in objects.NEEDLES if needle in said] == []
    return response


def record_of(site, response):
    filters = Filters(request_id=response.headers["x-request-id"])
    page = site.run(site.app.state.parts.audit.find(filters))
    return [record.fields for record in reversed(page.records)]


@pytest.mark.parametrize("media_type", BODIES)
def test_an_object_comes_back_in_its_own_media_type(caller, media_type):
    body = BODIES[media_type]()
    response = post(caller, body, media_type)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] in GIVEN_BACK[media_type]
    assert response.headers["content-digest"] == objects.digest_of(response.content)
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.headers["cache-control"] == "no-store"
    assert "etag" not in response.headers
    steps = [step.split(";")[0] for step in response.headers["server-timing"].split(", ")]
    assert steps == ["admit", "ingest", "deid", "respond", "audit", "total"]
    assert response.headers["deidentification-report"].startswith('policy="basic", policy_digest="')
    if media_type != "application/dicom":
        before, after = Image.open(io.BytesIO(body)), Image.open(io.BytesIO(response.content))
        assert (Image.MIME[after.format], after.size) == (response.headers["content-type"], before.size)
        assert not after.getexif()


def test_a_dicom_object_says_what_was_done_to_it(caller):
    response = post(caller, objects.mr())
    found = objects.read(response.content)
    assert found.PatientIdentityRemoved == "YES"
    assert found.SOPInstanceUID.startswith("2.25.")
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID
    assert response.content[:128] == b"\0" * 128
    stand_ins = dict(re.findall(r'(\w+)="([^"]*)"', response.headers["deidentification-pseudonyms"]))
    assert stand_ins == {
        "patient": str(found.PatientID),
        "study": found.StudyInstanceUID,
        "series": found.SeriesInstanceUID,
        "instance": found.SOPInstanceUID,
    }
    name = f"{hashlib.sha256(response.content).hexdigest()[:16]}.dcm"
    assert response.headers["content-disposition"] == f'attachment; filename="{name}"'
    codes = [item.CodeValue for item in found.DeidentificationMethodCodeSequence]
    methods = " ".join(f'"{code}"' for code in codes)
    assert f"methods=({methods})" in response.headers["deidentification-report"]
    assert found.pixel_array.shape == (64, 64)


def test_an_object_without_an_image_is_welcome(caller):
    response = post(caller, objects.report())
    assert response.status_code == 200, response.text
    found = objects.read(response.content)
    assert found.Modality == "SR"
    assert found.PatientIdentityRemoved == "YES"
    assert "frames_looked_at=0" in response.headers["deidentification-report"]


def test_all_frames_come_back(caller):
    response = post(caller, objects.mr(frames=3))
    assert response.status_code == 200, response.text
    assert objects.read(response.content).pixel_array.shape == (3, 64, 64)


@pytest.mark.parametrize("media_type", BODIES)
def test_a_form_gives_the_same_as_the_bare_body(caller, media_type):
    body = BODIES[media_type]()
    form = caller.post(ROUTE, files={"image": (f"{objects.NAME}.dcm", body, media_type)})
    assert form.status_code == 200, form.text
    assert form.content == post(caller, body, media_type).content
    assert objects.NAME.encode() not in str(form.headers.raw).encode()


@pytest.mark.parametrize("media_type", BODIES)
@pytest.mark.parametrize(
    "accept", ["multipart/related", 'Multipart/Related; type="application/dicom"; q=0.5, */*;q=0.1']
)
def test_the_whole_report_as_a_part(caller, media_type, accept):
    body = BODIES[media_type]()
    response = post(caller, body, media_type, headers={"Accept": accept})
    assert response.status_code == 200, response.text
    assert response.headers["content-digest"] == objects.digest_of(response.content)
    assert "deidentification-report" not in response.headers
    root, data, said = objects.parts_of(response.headers, response.content)
    alone = post(caller, body, media_type)
    assert data == alone.content
    assert root.get_content_type() == alone.headers["content-type"]
    assert response.headers["content-type"].startswith(
        f'multipart/related; type="{root.get_content_type()}"; boundary='
    )
    assert root["content-digest"] == alone.headers["content-digest"]
    assert root["content-disposition"] == alone.headers["content-disposition"]
    assert said["object"] == {
        "media_type": alone.headers["content-type"],
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    assert said["deidentification"]["policy"] == "basic"
    assert said["deidentification"]["groups"]
    if media_type == "application/dicom":
        assert said["pseudonyms"]["patient"] == str(objects.read(data).PatientID)


@pytest.mark.parametrize(
    "accept", ["*/*", "application/dicom", "multipart/related;q=0", "multipart/related; q=0.0", ""]
)
def test_any_other_wish_gets_the_object_alone(caller, accept):
    response = post(caller, objects.mr(), headers={"Accept": accept})
    assert response.headers["content-type"] == "application/dicom"


@pytest.mark.parametrize("media_type", BODIES)
@pytest.mark.parametrize("accept", ["*/*", "multipart/related"])
def test_the_same_object_gives_the_same_bytes(caller, media_type, accept):
    body = BODIES[media_type]()
    answers = [post(caller, body, media_type, headers={"Accept": accept}) for _ in range(2)]
    assert answers[0].content == answers[1].content
    said = [
        {name: answer.headers.get(name) for name in ("deidentification-report", "deidentification-pseudonyms")}
        for answer in answers
    ]
    assert said[0] == said[1]


def test_tenants_cannot_be_linked(site, caller):
    body = objects.mr()
    ours = objects.read(post(caller, body).content)
    with site.client(site.key("deidentify", tenant="elsewhere")) as client:
        theirs = objects.read(post(client, body).content)
    for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert getattr(ours, name) != getattr(theirs, name)


def test_objects_of_one_study_stay_together(caller):
    image, text = (objects.read(post(caller, body).content) for body in (objects.mr(), objects.report()))
    assert image.PatientID == text.PatientID
    assert image.StudyInstanceUID == text.StudyInstanceUID
    assert image.SOPInstanceUID != text.SOPInstanceUID


def test_it_is_on_record_with_what_was_given_back(site, caller):
    body = objects.mr()
    response = post(caller, body)
    started, finished = record_of(site, response)
    assert (started["type"], finished["type"]) == ("request.started", "request.finished")
    assert finished["route"] == "POST /v1/deidentify"
    assert (finished["outcome"], finished["status"]) == ("success", 200)
    assert finished["media_type"] == "application/dicom"
    assert finished["input_digest"] == hashlib.sha256(body).hexdigest()
    assert finished["output_digest"] == hashlib.sha256(response.content).hexdigest()
    assert (finished["tensor_digest"], finished["model"], finished["prediction"]) == ("", "", "")
    assert finished["patient"] == str(objects.read(response.content).PatientID)
    said = finished["deidentification"]
    assert said["policy"] == "basic"
    assert re.fullmatch("[0-9a-f]{64}", said["policy_digest"])
    assert said["methods"][0] == "113100"
    assert sum(said["actions"].values()) > 5


def test_no_model_is_asked(site, caller):
    site.model.state = "down"
    assert post(caller, objects.mr()).status_code == 200


def test_the_scope_is_its_own(site):
    with site.client(site.key("predict")) as client:
        problem = assert_problem(post(client, objects.mr()), 403, "forbidden")
        assert problem["scope"] == "deidentify"
    with site.client(site.key("deidentify")) as client:
        assert post(client, objects.mr()).status_code == 200
        assert_problem(client.post("/v1/predict", content=objects.mr()), 403, "forbidden")


BAD = {
    "nothing": (b"", "application/dicom", 422, "invalid-parameter"),
    "no image": (b"Zauberwald", "application/octet-stream", 415, "unsupported-media-type"),
    "a head alone": (b"\0" * 128 + b"DICM", "application/dicom", 422, ""),
    "cut off": (objects.mr()[:-700], "application/dicom", 422, ""),
    "a program": (b"MZ" + objects.mr()[2:], "application/dicom", 422, "unsafe-file"),
    "another type": (objects.mr(), "image/png", 415, "unsupported-media-type"),
    "half a PNG": (objects.raster("PNG")[:120], "image/png", 422, ""),
    "half a JPEG": (objects.raster("JPEG")[:300], "image/jpeg", 422, ""),
    "too many frames": (objects.mr(size=16, frames=513, alike=True), "application/dicom", 422, "image-too-large"),
    "text": (b"Annegret", "text/plain", 415, "unsupported-media-type"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_read_has_a_name_and_no_echo(site, caller, bad):
    body, media_type, status, slug = BAD[bad]
    response = post(caller, body, media_type)
    problem = assert_problem(response, status, slug)
    assert record_of(site, response)[-1]["problem"] == str(problem["type"]).rpartition(":")[2]
    assert "deidentification-report" not in response.headers


@pytest.mark.parametrize(
    "query", [{"policy": "Zauberwald"}, {"policy": "x" * 65}, {"Zauberwald": "1"}, {"frames": "1"}, {"model": "x"}]
)
def test_parameters_that_do_not_fit(caller, query):
    assert_problem(post(caller, objects.mr(), params=query), 422, "invalid-parameter")


def test_it_is_described(caller):
    schema = caller.get("/openapi.json").json()
    described = schema["paths"][ROUTE]["post"]
    assert set(described["responses"]["200"]["content"]) == {*BODIES, "multipart/related"}
    assert {"Deidentification-Report", "Content-Digest"} <= set(described["responses"]["200"]["headers"])
    assert {"401", "403", "408", "413", "415", "422", "429", "503", "504"} <= set(described["responses"])
    assert "502" not in described["responses"]  # no model is asked
    assert set(described["requestBody"]["content"]) >= {*BODIES, "multipart/form-data"}
    assert described["description"].endswith("Scope: `deidentify`")


def test_the_reports_of_both_routes_say_the_same_things(caller):
    """What /v1/predict answers, what the audit record holds and what comes with an object has one form."""
    body = objects.mr()
    predicted = caller.post("/v1/predict", content=body, headers={"Content-Type": "application/dicom"}).json()
    related = post(caller, body, headers={"Accept": "multipart/related"})
    _, _, said = objects.parts_of(related.headers, related.content)
    assert set(said["deidentification"]) == set(predicted["deidentification"]) - {"seconds_text"}
    for name in ("policy", "policy_digest", "actions", "groups"):
        assert said["deidentification"][name] == predicted["deidentification"][name]
