"""The console does what the API does, by the same rules and on the same record; what is typed is shown as text."""

from __future__ import annotations

import html
import io
import re

import pytest
from PIL import Image

from gateway.admission.four_eyes import FourEyes
from tests.support.console import TENANT, Visitor, new_key

SCRIPT = "<script>alert(1)</script>"
SECRET = re.compile(r'<code id="secret">(cdn_[0-9A-Za-z_]+)</code>')


@pytest.fixture
def admin(site):
    visitor = Visitor(site)
    visitor.key_id, visitor.key = new_key(site)
    assert visitor.sign_in(visitor.key).status_code == 303
    yield visitor
    visitor.client.close()


def png():
    buffer = io.BytesIO()
    Image.new("L", (64, 64), 90).save(buffer, "PNG")
    return buffer.getvalue()


def issued(admin, **fields):
    answer = admin.post("/console/keys", owner="PACS", plan="standard", days="30", scope=["predict"], **fields)
    assert answer.status_code == 201, answer.text
    [secret] = SECRET.findall(answer.text)
    return f"key_{secret.split('_')[1]}", secret


def test_a_key_is_issued_works_and_is_shown_once(site, admin):
    key_id, secret = issued(admin, note="for the tests")
    with site.client(secret) as client:
        assert client.get("/v1/models").status_code == 200
    page = admin.get(f"/console/keys/{key_id}").text
    assert secret not in page
    assert "for the tests" in page
    assert f"{admin.key_id}" in page  # who issued it


def test_a_key_is_rotated_and_revoked(site, admin):
    key_id, old = issued(admin)
    answer = admin.post(f"/console/keys/{key_id}/rotate", overlap="3600")
    [new] = SECRET.findall(answer.text)
    assert "works for 1 hour more" in answer.text
    for secret in (old, new):
        with site.client(secret) as client:
            assert client.get("/v1/models").status_code == 200
    assert admin.post(f"/console/keys/{key_id}/revoke").headers["location"] == f"/console/keys/{key_id}?done=revoked"
    assert ">Revoked</span>" in admin.get(f"/console/keys/{key_id}").text
    assert admin.post(f"/console/keys/{key_id}/rotate", overlap="0").status_code == 422


def test_a_key_is_updated_unless_someone_else_was_faster(site, admin):
    key_id, _ = issued(admin)
    fields = {"owner": "PACS two", "note": "", "plan": "partner", "days": "keep", "scope": ["predict", "deidentify"]}
    fields |= {"addresses": "192.0.2.0/24", "revision": "1"}
    assert admin.post(f"/console/keys/{key_id}/update", **fields).status_code == 303
    page = admin.get(f"/console/keys/{key_id}").text
    assert "<h1>PACS two" in page
    assert "<code>192.0.2.0/24</code>" in page
    again = admin.post(f"/console/keys/{key_id}/update", **fields | {"owner": "PACS three"})
    assert again.status_code == 412
    assert "PACS three" not in html.unescape(admin.get(f"/console/keys/{key_id}").text)


def test_another_tenants_key_does_not_exist(site, admin):
    other, _ = new_key(site, "clinician", tenant="st-luke", owner="Other")
    assert admin.get(f"/console/keys/{other}").status_code == 404
    assert admin.post(f"/console/keys/{other}/revoke").status_code == 404
    assert other not in admin.get("/console/keys").text


def test_nobody_gives_a_scope_that_they_do_not_hold(site):
    visitor = Visitor(site)
    visitor.sign_in(new_key(site, "issuer")[1])
    assert 'value="audit:read"' not in visitor.get("/console/keys/new").text
    answer = visitor.post("/console/keys", owner="Me", plan="standard", days="30", scope=["audit:read"])
    assert answer.status_code == 403
    assert "Only a holder of the scope audit:read may give it" in answer.text
    visitor.client.close()


def test_a_form_that_does_not_fit_comes_back_filled_in(admin):
    answer = admin.post(
        "/console/keys", owner="A PACS", plan="standard", days="30", addresses="10.0.0.1/8", scope="predict"
    )
    assert answer.status_code == 422
    assert "without host bits" in answer.text
    assert 'value="A PACS"' in answer.text
    assert "10.0.0.1/8" in answer.text


def test_what_is_typed_is_shown_as_text(admin):
    key_id, _ = issued(admin, note=f"{SCRIPT}'\"")
    pages = [
        f"/console/keys/{key_id}",
        f"/console/keys?q={SCRIPT}",
        f"/console/audit?actor={SCRIPT}",
        f"/console/audit?since={SCRIPT}",
    ]
    for path in pages:
        page = admin.get(path).text
        assert SCRIPT not in page, path
        assert "&lt;script&gt;" in page, path
    assert SCRIPT not in admin.get(f"/console/{SCRIPT}").text


def test_an_emergency_key_says_why(admin):
    short = admin.post("/console/break-glass", owner="Dr. Night", reason="incident", note="short", minutes="30")
    assert short.status_code == 422
    answer = admin.post(
        "/console/break-glass", owner="Dr. Night", reason="incident", note="The directory is away.", minutes="30"
    )
    assert answer.status_code == 201
    [secret] = SECRET.findall(answer.text)
    assert "Emergency" in admin.get(f"/console/keys/key_{secret.split('_')[1]}").text


def test_a_switch_goes_off_with_its_reason_and_on_again(admin):
    answer = admin.post("/console/switches/off", target="key:", name=admin.key_id, reason="nothing-known")
    assert answer.status_code == 422
    other, _ = issued(admin)
    answer = admin.post("/console/switches/off", target="key:", name=other, reason="leak", note="see the ticket")
    assert answer.headers["location"] == "/console/switches"
    page = admin.get("/console/switches").text
    assert other in page
    assert "A secret leaked" in page
    part = admin.post("/console/switches/on", {"HX-Request": "true"}, kind="key", name=other)
    assert part.status_code == 200
    assert "<html" not in part.text
    assert other not in part.text


def test_the_story_of_a_request_is_told_from_its_records(site, admin):
    with site.client(admin.key) as client:
        answer = client.post("/v1/predict", content=png(), headers={"Content-Type": "image/png"})
    request_id = answer.headers["x-request-id"]
    page = html.unescape(admin.get(f"/console/audit/request/{request_id}").text)
    for said in (
        "was let in for POST /v1/predict",
        "The upload was a valid image/png",
        "The policy basic was applied",
        "The sanitized pixels went to brain_mri_resnet50",
        "The answer was 200",
        "by Ada Administrator",
    ):
        assert said in page, said
    number = re.findall(r"/console/audit/record/(\d+)", page)[0]
    record = admin.get(f"/console/audit/record/{number}").text
    assert request_id in record
    assert TENANT in record
    assert admin.get("/console/audit/request/not-on-record").status_code == 404
    assert admin.get("/console/audit/record/999999").status_code == 404


def test_records_are_found_by_what_is_asked_and_in_pages(admin):
    for _ in range(55):
        admin.get("/console")
    first = admin.get(f"/console/audit?actor={admin.key_id}")
    [older] = re.findall(r'<a class="button" href="(/console/audit\?[^"]*cursor=\d+)"', first.text)
    second = admin.get(html.unescape(older))
    numbers = [re.findall(r"/console/audit/record/(\d+)", page.text) for page in (first, second)]
    assert len(numbers[0]) == 50
    assert min(map(int, numbers[0])) > max(map(int, numbers[1]))
    assert "No record fits" in admin.get("/console/audit?actor=key_000000000000").text
    assert admin.get("/console/audit?since=yesterday").status_code == 422
    assert admin.get("/console/audit?outcome=odd").status_code == 422


def test_the_log_is_verified_with_a_verdict_each(admin):
    page = admin.post("/console/audit/verify").text
    assert "Verified up to #" in page
    for question in ("Integrity", "Order", "Completeness", "Checkpoints"):
        assert f"<b>{question}</b>" in page
    assert page.count(">Holds</span>") == 4


def test_an_auditor_reads_and_changes_nothing(site):
    visitor = Visitor(site)
    visitor.sign_in(new_key(site, "auditor")[1])
    key_id, _ = new_key(site, "clinician", owner="Someone")
    page = visitor.get(f"/console/keys/{key_id}")
    assert page.status_code == 200
    assert "Change it" not in page.text
    assert visitor.post(f"/console/keys/{key_id}/revoke").status_code == 403
    assert visitor.get("/console/audit").status_code == 200
    visitor.client.close()


def test_records_are_taken_away_with_their_proof(site, admin, tmp_path):
    admin.get("/console/keys")
    page = admin.get(f"/console/audit?actor={admin.key_id}")
    links = {html.unescape(each) for each in re.findall(r'href="(/console/audit/export\?[^"]+)"', page.text)}
    assert len(links) == 4
    for link in links:
        assert f"actor={admin.key_id}" in link
        answer = admin.get(link)
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].startswith('attachment; filename="audit.')
    [ndjson] = [link for link in links if "ndjson" in link]
    answer = admin.get(ndjson)
    assert admin.key_id in answer.text
    proof = re.fullmatch(r'<(/console/\S+)>; rel="describedby"', answer.headers["link"])
    assert proof
    assert admin.get(proof[1]).status_code == 200
    assert "Took away" in admin.get("/console/audit?type=audit.exported").text


def test_a_patient_is_sought_by_an_id_that_is_kept_nowhere(site, admin):
    entered = "ZqxjKw-4711"
    answer = admin.post("/console/audit/patient", patient_id=entered)
    assert answer.status_code == 303
    pseudonym = re.fullmatch(r"/console/audit\?patient=([A-Z2-7]+)", answer.headers["location"])
    assert pseudonym
    assert f'value="{pseudonym[1]}"' in admin.get(answer.headers["location"]).text
    told = admin.get("/console/audit?type=audit.patient").text
    assert pseudonym[1] in told
    assert entered not in told
    assert entered not in site.log.getvalue()


def test_what_concerns_no_tenant_is_shown_to_those_who_may_see_all(site, admin):
    assert "No record fits" in admin.get("/console/audit?type=gateway.started").text
    page = admin.get("/console/audit?type=gateway.started&tenant=*")
    [number] = set(re.findall(r"/console/audit/record/(\d+)", page.text))
    assert admin.get(f"/console/audit/record/{number}").status_code == 200
    auditor = Visitor(site)
    auditor.sign_in(new_key(site, "auditor")[1])
    assert auditor.get("/console/audit?tenant=*").status_code == 403
    assert auditor.get(f"/console/audit/record/{number}").status_code == 404
    auditor.client.close()


def test_a_guarded_key_waits_for_another_person(site, admin, monkeypatch):
    monkeypatch.setattr(site.app.state.parts.access, "four_eyes", FourEyes(scopes=("audit:read", "keys:approve")))
    answer = admin.post("/console/keys", owner="R. Ito", plan="admin", days="30", scope=["audit:read", "console"])
    assert answer.status_code == 202
    assert "It does not work yet" in answer.text
    [secret] = SECRET.findall(answer.text)
    with site.client(secret) as client:
        assert client.get("/v1/admin/audit").status_code == 401
    page = admin.get("/console/requests").text
    [waiting] = re.findall(r"/console/requests/(req_[0-9A-Za-z]{12})/withdraw", page)
    assert f"{waiting}/approve" not in page  # one's own
    assert admin.post(f"/console/requests/{waiting}/approve").status_code == 403

    second = Visitor(site)
    second.sign_in(new_key(site, owner="B. Second")[1])
    assert f"{waiting}/approve" in second.get("/console/requests").text
    assert second.post(f"/console/requests/{waiting}/approve").status_code == 303
    assert second.post(f"/console/requests/{waiting}/reject").status_code == 409
    with site.client(secret) as client:
        assert client.get("/v1/admin/audit").status_code == 200
    assert "Approved" in admin.get("/console/requests").text
    second.client.close()


def test_an_emergency_key_opens_the_console(site, admin):
    form = {"owner": "Dr. Night", "reason": "lockout", "note": "Nobody else is in the house.", "minutes": "30"}
    [secret] = SECRET.findall(admin.post("/console/break-glass", **form).text)
    night = Visitor(site)
    assert night.sign_in(secret).status_code == 303
    assert night.get("/console/switches").status_code == 200
    assert night.get("/console/keys/new").status_code == 403
    night.client.close()


def test_a_key_has_limits_of_its_own_until_they_are_taken_away(admin):
    key_id, _ = issued(admin, limits="minute 7\r\ninflight 2\r\n")
    assert "7 in 1 minute" in admin.get(f"/console/keys/{key_id}").text
    fields = {"owner": "PACS", "note": "", "plan": "standard", "days": "keep", "scope": ["predict"]}
    odd = admin.post(f"/console/keys/{key_id}/update", **fields, limits="minute many", revision="1")
    assert odd.status_code == 422
    unknown = admin.post(f"/console/keys/{key_id}/update", **fields, limits="fortnight 3", revision="1")
    assert unknown.status_code == 422
    assert admin.post(f"/console/keys/{key_id}/update", **fields, limits="inflight 2", revision="1").status_code == 303
    page = admin.get(f"/console/keys/{key_id}").text
    assert "300 in 1 minute" in page
    assert "2 at once" in page


def test_the_overview_shows_the_last_hour_to_those_who_see_what_tenants_share(site, admin):
    with site.client(site.key()) as client:
        assert client.post("/v1/predict", content=png(), headers={"Content-Type": "image/png"}).status_code == 200
    page = admin.get("/console").text
    [label] = re.findall(r'aria-label="In the last hour (\d+) answered', page)
    assert int(label) >= 1
    assert re.search(r'<polyline class="p95" points="[\d., ]+"', page)
    assert re.search(r"<th scope=\"row\">1 image</th>", page)  # what the model server says it computed
    assert "Breaker closed" in page
    assert "Decoders at work" in page
    auditor = Visitor(site)
    auditor.sign_in(new_key(site, "auditor")[1])
    assert "Decoders at work" not in auditor.get("/console").text
    auditor.client.close()
