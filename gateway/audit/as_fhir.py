"""Step 7 of 7: records as a FHIR R4 Bundle of AuditEvents (https://hl7.org/fhir/R4/auditevent.html).

Codes are those of ``mappings/events.csv``. An image that came in and was answered is a successful Create by IHE BALP
(Basic Audit Log Patterns, ITI TF-3 5.7), with a patient where there is one; the profile is claimed where all that it
asks for is there. BALP leaves failures to the base resource. No reference leads to a resource of a patient: a
pseudonym is an identifier.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit.mappings import event_codes

if TYPE_CHECKING:
    from gateway.audit.chain import Record

BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
DCM = "http://dicom.nema.org/resources/ontology/DCM"
EVENT_TYPE = "http://terminology.hl7.org/CodeSystem/audit-event-type"
OUTCOME = "http://terminology.hl7.org/CodeSystem/audit-event-outcome"
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
SOURCE_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"
INTERACTION = "http://hl7.org/fhir/restful-interaction"
TRANSACTION = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
OWN = "urn:cordon:audit"

_OUTCOMES = {"success": ("0", "Success"), "refused": ("4", "Minor failure"), "failed": ("8", "Serious failure")}
_IMAGE_ROUTES = ("POST /v1/predict", "POST /v1/deidentify")
_IP = re.compile(r"[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*")


class FhirForm:
    """One Bundle of the type ``collection``.

    Args:
        source: The installation's name.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._first = True

    def begin(self) -> bytes:
        """The Bundle's opening."""
        self._first = True
        return b'{"resourceType":"Bundle","type":"collection","entry":['

    def record(self, record: Record) -> bytes:
        """One entry."""
        comma, self._first = b"" if self._first else b",", False
        event = audit_event(record, self._source)
        entry = {"fullUrl": f"{OWN}:{record.seq}", "resource": event}
        return comma + orjson.dumps(entry)

    def end(self) -> bytes:
        """The Bundle's end."""
        return b"]}\n"


def audit_event(record: Record, source: str) -> dict[str, Any]:
    """The record as an AuditEvent. Its whole body and its hash are in the entity of the record itself."""
    said = record.fields
    create = _is_create(said)
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": f"record-{record.seq}",
        **_kind(said, create=create),
        "recorded": said.get("time"),
        "outcome": _OUTCOMES.get(str(said.get("outcome", "success")), _OUTCOMES["failed"])[0],
        "agent": _agents(said, source, create=create),
        "source": {
            "site": source,
            "observer": {"identifier": {"system": OWN, "value": source}},
            "type": [{"system": SOURCE_TYPE, "code": "4", "display": "Application Server"}],
        },
        "entity": _entities(record),
    }
    if said.get("problem"):
        event["outcomeDesc"] = str(said["problem"])
    if create and said.get("address"):
        event["meta"] = {"profile": [BALP + ("PatientCreate" if said.get("patient") else "Create")]}
    return event


def _is_create(said: Any) -> bool:
    """Whether an image came in and was answered."""
    finished = said.get("type") == "request.finished" and said.get("outcome") == "success"
    return finished and said.get("route") in _IMAGE_ROUTES


def _kind(said: Any, *, create: bool) -> dict[str, Any]:
    if create:
        subtypes = [{"system": INTERACTION, "code": "create", "display": "create"}]
        kind = {"system": EVENT_TYPE, "code": "rest", "display": "Restful Operation"}
        return {"type": kind, "subtype": subtypes, "action": "C"}
    code = event_codes().get(str(said.get("type")))
    if code is None:  # of a version that is not this one
        return {"type": {"system": OWN, "code": str(said.get("type"))}}
    kind = {"system": DCM if code.of_dicom else OWN, "code": code.code, "display": code.meaning}
    subtypes = [{"system": DCM, "code": code.subtype, "display": code.subtype_meaning}] if code.subtype else []
    own = [{"system": OWN, "code": code.type}]
    return {"type": kind, "subtype": [*subtypes, *own], "action": code.action}


def _agents(said: Any, source: str, *, create: bool) -> list[dict[str, Any]]:
    actor = {"identifier": {"system": OWN + ":key", "value": str(said.get("actor") or "unknown")}}
    client: dict[str, Any] = {"who": actor, "requestor": True}
    if create:
        client["type"] = _coded(DCM, "110153", "Source Role ID")
    if said.get("address"):
        client["network"] = _network(str(said["address"]))
    kind = _coded(DCM, "110152", "Destination Role ID") if create else _coded(DCM, "110150", "Application")
    server = {
        "type": kind,
        "who": {"identifier": {"system": OWN, "value": source}},
        "requestor": False,
        "network": {"address": source, "type": "1"},
    }
    return [client, server]


def _network(address: str) -> dict[str, str]:
    """FHIR's type 2 is an IP address; a keyed hash of one has no type."""
    return {"address": address, "type": "2"} if _IP.fullmatch(address) else {"address": address}


def _entities(record: Record) -> list[dict[str, Any]]:
    said = record.fields
    body = base64.b64encode(record.body.encode()).decode()
    entities: list[dict[str, Any]] = [
        {
            "what": {"identifier": {"system": OWN + ":record", "value": str(record.seq)}},
            "type": {"system": ENTITY_TYPE, "code": "2", "display": "System Object"},
            "role": {"system": OBJECT_ROLE, "code": "4", "display": "Domain Resource"},
            "detail": [
                {"type": "record", "valueBase64Binary": body},
                {"type": "hash", "valueString": record.hash},
            ],
        }
    ]
    if said.get("patient"):
        identifier = {"system": OWN + ":patient", "value": str(said["patient"])}
        entities.append(
            {
                "what": {"type": "Patient", "identifier": identifier},
                "type": {"system": ENTITY_TYPE, "code": "1", "display": "Person"},
                "role": {"system": OBJECT_ROLE, "code": "1", "display": "Patient"},
            }
        )
    if said.get("request_id"):
        entities.append(
            {
                "what": {"identifier": {"value": str(said["request_id"])}},
                "type": {"system": TRANSACTION, "code": "XrequestId"},
            }
        )
    return entities


def _coded(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}]}
