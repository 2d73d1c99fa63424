"""The log in the forms of others, held against their own models: FHIR R4, IHE BALP, DICOM PS3.15 A.5."""

from __future__ import annotations

import base64
import json
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from lxml import etree
from pydicom.sr._concepts_dict import concepts

from gateway.audit.as_dicom import MAX_BYTES, DicomForm, message
from gateway.audit.as_fhir import FhirForm
from gateway.audit.chain import EMPTY, link
from gateway.audit.events import EVENT_TYPES, RequestFinished, fields_of
from gateway.audit.mappings import event_codes
from tests.support import balp
from tests.support.audit import RING, finished
from tests.support.dicom_audit import SCHEMA

if TYPE_CHECKING:
    from gateway.audit.chain import Record
    from gateway.audit.event import AuditEvent

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SAMPLES: dict[str, Any] = {"str": "text", "int": 7, "bool": True, "Outcome": "failed", "tuple[str, ...]": ("a", "b")}


def sample(kind: type[AuditEvent]) -> AuditEvent:
    """One event of the type, every field filled."""
    values = {}
    for each in fields(kind):
        needed = each.default is MISSING and each.default_factory is MISSING
        name = str(each.type)
        if name in SAMPLES:
            values[each.name] = SAMPLES[name]
        elif needed:
            values[each.name] = {"a": "b"} if name.startswith("dict") else "text"
    if "address" in values:
        values["address"] = "192.0.2.7"
    return kind(**values)


EVENTS = {kind.type_name: sample(kind) for kind in EVENT_TYPES.values()} | {
    "predicted": finished("c1", address="2001:db8::7"),
    "deidentified": finished("c2", route="POST /v1/deidentify", patient="", model=""),
    "address as a hash": finished("c3", address="hmac:0123456789abcdef0123456789abcdef"),
    "no address": finished("c4", address=""),
    "awkward": finished('<&">]]> \U0001f600', prediction="ö" * 200),
}


def record_of(event: AuditEvent) -> Record:
    return link(RING.current, fields_of(event), EMPTY, NOON)


def test_every_type_of_event_has_its_codes() -> None:
    assert set(event_codes()) == set(EVENT_TYPES)


def test_the_codes_are_those_of_dicom() -> None:
    known = {code: meanings for entries in concepts["DCM"].values() for code, meanings in entries.items()}
    for each in event_codes().values():
        if each.of_dicom:
            assert known[each.code][0] == each.meaning
        if each.subtype:
            assert known[each.subtype][0] == each.subtype_meaning


def bundle(*events: AuditEvent) -> bytes:
    form = FhirForm("site-7")
    return b"".join([form.begin(), *(form.record(record_of(event)) for event in events), form.end()])


def test_a_bundle_of_all_events_is_fhir_r4() -> None:
    written = bundle(*EVENTS.values())

    read = Bundle.model_validate_json(written)
    assert len(read.entry) == len(EVENTS)
    for entry in json.loads(written)["entry"]:
        balp.check(entry["resource"])


def test_an_empty_bundle_is_fhir_too() -> None:
    assert Bundle.model_validate_json(bundle()).entry in (None, [])


@pytest.mark.parametrize(
    ("name", "profile"),
    [("predicted", "PatientCreate"), ("deidentified", "Create"), ("no address", None), ("request.finished", None)],
)
def test_a_profile_is_claimed_where_it_fits(name: str, profile: str | None) -> None:
    event = json.loads(bundle(EVENTS[name]))["entry"][0]["resource"]

    assert event.get("meta", {}).get("profile") == ([balp.BALP + profile] if profile else None)


@pytest.mark.parametrize(("outcome", "code"), [("success", "0"), ("refused", "4"), ("failed", "8")])
def test_the_whole_record_is_in_both_forms(outcome: str, code: str) -> None:
    record = record_of(finished("r1", outcome=outcome))
    event = json.loads(FhirForm("x").record(record))["resource"]
    xml = etree.fromstring(message(record, "x"))

    [detail] = [each for each in event["entity"][0]["detail"] if each["type"] == "record"]
    assert base64.b64decode(detail["valueBase64Binary"]).decode() == record.body
    [value] = xml.xpath("//ParticipantObjectDetail[@type='record']/@value")
    assert base64.b64decode(value).decode() == record.body
    assert event["outcome"] == xml.xpath("string(EventIdentification/@EventOutcomeIndicator)") == code


@pytest.mark.parametrize("name", EVENTS)
def test_a_message_is_what_the_schema_of_dicom_asks_for(name: str) -> None:
    written = message(record_of(EVENTS[name]), "site-7")

    SCHEMA.assertValid(etree.fromstring(written))
    assert b"\n" not in written


def test_a_document_of_messages_is_well_formed() -> None:
    form = DicomForm("site-7")
    written = b"".join([form.begin(), *(form.record(record_of(event)) for event in EVENTS.values()), form.end()])

    messages = etree.fromstring(written)
    assert len(messages) == len(EVENTS)
    for each in messages:
        SCHEMA.assertValid(etree.fromstring(etree.tostring(each)))


def test_a_message_is_never_longer_than_receivers_take() -> None:
    long = finished("r1", deidentification={f"group{number}": "x" * 200 for number in range(150)})
    written = message(record_of(long), "site-7")

    assert len(written) <= MAX_BYTES
    SCHEMA.assertValid(etree.fromstring(written))
    assert etree.fromstring(written).xpath("//ParticipantObjectDetail/@type") == ["hash", "correlation ID"]


def test_the_patient_is_a_pseudonym_in_both() -> None:
    record = record_of(EVENTS["predicted"])
    assert isinstance(EVENTS["predicted"], RequestFinished)
    xml = etree.fromstring(message(record, "x"))

    assert xml.xpath("string(//*[@ParticipantObjectTypeCodeRole='1']/@ParticipantObjectID)") == "3d" * 16
