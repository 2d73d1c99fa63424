"""What two profiles of IHE BALP ask of an AuditEvent beyond FHIR itself (ITI.BasicAudit: PatientCreate.fsh)."""

from __future__ import annotations

from typing import Any

BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
DCM = "http://dicom.nema.org/resources/ontology/DCM"


def check(event: dict[str, Any]) -> None:
    """Hold an event against the profiles that it claims."""
    for profile in event.get("meta", {}).get("profile", ()):
        _check_create(event)
        if profile == BALP + "PatientCreate":
            _check_patient(event)
        else:
            assert profile == BALP + "Create"


def _check_create(event: dict[str, Any]) -> None:
    assert event["type"]["code"] == "rest"
    assert event["type"]["system"] == "http://terminology.hl7.org/CodeSystem/audit-event-type"
    interactions = [each for each in event["subtype"] if each["system"] == "http://hl7.org/fhir/restful-interaction"]
    assert [each["code"] for each in interactions] == ["create"]
    assert event["action"] == "C"
    assert event["outcome"] == "0"
    assert event["recorded"]
    assert len(event["agent"]) >= 2
    for code in ("110153", "110152"):  # the client is the source, the server the destination
        [agent] = [each for each in event["agent"] if {"system": DCM, "code": code}.items() <= _coding(each).items()]
        assert agent["who"]
        assert agent["network"]["address"]
        assert "media" not in agent
    [data] = _entities(event, "2")
    assert data["what"]
    assert data["role"]["code"] in {"3", "4", "20"}
    system = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
    transactions = [each for each in event["entity"] if each["type"]["system"] == system]
    assert len(transactions) <= 1
    for each in transactions:
        assert each["type"]["code"] == "XrequestId"
        assert each["what"]["identifier"]["value"]


def _check_patient(event: dict[str, Any]) -> None:
    [patient] = _entities(event, "1")
    assert patient["role"]["code"] == "1"
    assert patient["what"]["type"] == "Patient"


def _coding(agent: dict[str, Any]) -> dict[str, str]:
    coding: dict[str, str] = agent["type"]["coding"][0]
    return coding


def _entities(event: dict[str, Any], code: str) -> list[dict[str, Any]]:
    system = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
    return [each for each in event["entity"] if (each["type"]["system"], each["type"]["code"]) == (system, code)]
