"""The audit log over HTTP: who may read and take away what, and what stays nowhere."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle
from lxml import etree

from gateway.admission.access import AccessPolicy
from gateway.api import admin_audit
from gateway.audit.statements import TrustedKeys
from gateway.audit.verify_export import ExportReport, Proof, is_record, verify_bytes, verify_records
from tests.support.audit import finished
from tests.support.problems import assert_problem

CANARY = "ZqxjKwDoe4711"
ROLES = AccessPolicy.load(Path("policies/access.yaml")).roles


@pytest.fixture(scope="module")
def others(running_site):
    """Records of another tenant."""
    with running_site.client(running_site.key("predict", tenant="elsewhere")) as client:
        for _ in range(3):
            assert client.get("/v1/models").status_code == 200


@pytest.fixture
def auditor(site, others):
    """Of one tenant."""
    with site.client(site.key(*ROLES["auditor"])) as client:
        yield client


def public_of(client) -> bytes:
    return bytes.fromhex(client.get("/v1/admin/audit/public-key").json()["public_key"])


def test_an_export_verifies_with_the_public_key_alone(auditor, caller):
    response = caller.get("/v1/admin/audit/export?tenant=*")
    assert response.headers["content-type"] == "application/x-ndjson"

    report = ExportReport()
    lines = response.content.splitlines(keepends=True)
    proof = Proof([line for line in lines if not is_record(line)], TrustedKeys([public_of(auditor)]), report)
    verify_records([line for line in lines if is_record(line)], proof, report)
    assert report.good, report
    assert report.records > 3
    assert report.first == 1


@pytest.mark.parametrize("form", ["csv", "fhir", "dicom"])
def test_other_forms_have_their_proof_at_a_link(auditor, form):
    response = auditor.get(f"/v1/admin/audit/export?format={form}")
    assert response.status_code == 200
    path = response.headers["link"].partition(">")[0].removeprefix("<")
    report = ExportReport()
    lines = auditor.get(path).content.splitlines(keepends=True)

    proof = Proof(lines, TrustedKeys([public_of(auditor)]), report)
    assert verify_bytes([response.content], proof, report).good, report
    assert not verify_bytes([response.content + b" "], proof, ExportReport()).good
    match form:
        case "csv":
            assert len(list(csv.DictReader(io.StringIO(response.text)))) == report.records
        case "fhir":
            assert len(Bundle.model_validate_json(response.content).entry) == report.records
        case "dicom":
            assert len(etree.fromstring(response.content)) == report.records


def test_an_export_is_on_record_with_its_digest(auditor):
    response = auditor.get("/v1/admin/audit/export?format=csv&outcome=success")
    page = auditor.get("/v1/admin/audit", params={"request_id": response.headers["x-request-id"]}).json()

    exported, read = page["records"]
    assert (read["type"], read["action"], read["filters"]) == ("audit.read", "export", ["tenant", "outcome"])
    assert exported["type"] == "audit.exported"
    assert exported["output_digest"] == hashlib.sha256(response.content).hexdigest()
    assert exported["bytes"] == len(response.content)


def tenants(text: str) -> set[str]:
    lines = [json.loads(line) for line in text.splitlines()]
    return {line["record"]["tenant"] for line in lines if "record" in line}


def test_an_auditor_of_one_tenant_sees_that_tenants_records_alone(auditor):
    assert tenants(auditor.get("/v1/admin/audit/export").text) == {"st-mary"}
    for query in ("tenant=elsewhere", "tenant=*", "tenant="):
        for path in ("/v1/admin/audit", "/v1/admin/audit/export"):
            assert_problem(auditor.get(f"{path}?{query}"), 403, "forbidden")


def test_whoever_may_see_all_sees_all_when_asked(site, others, caller):
    assert tenants(caller.get("/v1/admin/audit/export").text) == {"st-mary"}
    assert {"st-mary", "elsewhere", ""} <= tenants(caller.get("/v1/admin/audit/export?tenant=*").text)
    assert tenants(caller.get("/v1/admin/audit/export?tenant=elsewhere").text) == {"elsewhere"}
    page = caller.get("/v1/admin/audit?type=gateway.started&tenant=*").json()
    assert page["records"]


def test_a_proof_of_another_tenants_export_does_not_exist(site, auditor):
    path = auditor.get("/v1/admin/audit/export?format=csv").headers["link"].partition(">")[0].removeprefix("<")
    with site.client(site.key("audit:export", tenant="elsewhere")) as other:
        assert_problem(other.get(path), 404, "not-found")


def test_rights_of_their_own(site):
    for scope, path in (
        ("audit:read", "/v1/admin/audit/export"),
        ("audit:export", "/v1/admin/audit"),
        ("audit:export", "/v1/admin/audit/verify"),
    ):
        with site.client(site.key(scope)) as client:
            assert_problem(client.get(path), 403, "forbidden")
    with site.client(site.key("audit:read", "audit:export")) as client:
        assert_problem(client.post("/v1/admin/audit/pseudonym", json={"patient_id": "1"}), 403, "forbidden")


def test_auditors_issue_no_keys_and_issuers_read_no_log():
    makes = {"keys:write", "keys:approve", "keys:break-glass", "clients:write"}
    reads = {scope for scope in AccessPolicy.load(Path("policies/access.yaml")).scopes if scope.startswith("audit:")}

    assert not ROLES["auditor"] & makes
    assert not ROLES["issuer"] & reads
    assert not ROLES["operator"] & reads


def test_no_route_changes_a_record():
    methods = {
        rule.route.split()[0] for rule in AccessPolicy.load(Path("policies/access.yaml")) if "admin/audit" in rule.route
    }
    assert methods == {"GET", "POST"}  # the one POST computes a pseudonym


def test_a_pseudonym_is_computed_and_the_id_is_nowhere(site, auditor):
    response = auditor.post("/v1/admin/audit/pseudonym", json={"patient_id": f" {CANARY} "})
    again = auditor.post("/v1/admin/audit/pseudonym", json={"patient_id": CANARY})
    assert response.status_code == 200, response.text
    assert response.json() == again.json()
    assert response.json()["tenant"] == "st-mary"

    patient = response.json()["patient"]
    found = auditor.get("/v1/admin/audit", params={"patient": patient}).json()["records"]
    assert [record["type"] for record in found] == ["audit.patient", "audit.patient"]
    assert CANARY not in site.log.getvalue()
    folder = Path(str(site.app.state.services.engine.url.database)).parent
    assert not [path for path in folder.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "body", [{"patient_id": CANARY * 9}, {"patient_id": " "}, {"patient_id": CANARY, "other": CANARY}]
)
def test_what_does_not_fit_is_not_repeated(site, auditor, body):
    response = auditor.post("/v1/admin/audit/pseudonym", json=body)
    assert_problem(response, 422, "invalid-parameter")
    assert CANARY not in response.text
    assert CANARY not in site.log.getvalue()


def test_another_tenants_pseudonym_is_another_and_needs_the_right(auditor, caller):
    wanted = {"patient_id": "4711", "tenant": "elsewhere"}
    assert_problem(auditor.post("/v1/admin/audit/pseudonym", json=wanted), 403, "forbidden")

    theirs = caller.post("/v1/admin/audit/pseudonym", json=wanted).json()
    ours = caller.post("/v1/admin/audit/pseudonym", json={"patient_id": "4711"}).json()
    assert theirs["patient"] != ours["patient"]


def test_a_long_log_is_verified_step_by_step(site, auditor, monkeypatch):
    monkeypatch.setattr(admin_audit, "VERIFY_SHARE", 0.0)  # time for one page of 500

    async def fill() -> None:
        record = site.app.state.services.recorder.record
        await asyncio.gather(*(record(finished(f"long-{number}")) for number in range(600)))

    site.run(fill())
    steps = [auditor.get("/v1/admin/audit/verify").json()]
    while steps[-1]["next"] is not None:
        steps.append(auditor.get("/v1/admin/audit/verify", params={"after": steps[-1]["next"]}).json())

    assert len(steps) > 1
    assert all(step["good"] for step in steps)
    assert [step["after"] for step in steps] == [0, *(step["last"] for step in steps[:-1])]
    assert sum(step["records"] for step in steps) == steps[-1]["last"]


def test_verification_begins_at_a_record_that_is_there(auditor):
    assert_problem(auditor.get("/v1/admin/audit/verify?after=99999999"), 404, "not-found")
    assert_problem(auditor.get("/v1/admin/audit/verify?after=-1"), 422, "invalid-parameter")
