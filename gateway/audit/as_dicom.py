"""Step 7 of 7: records as audit messages of DICOM PS3.15 A.5.1. Codes are those of ``mappings/events.csv``.

A message carries its whole record and its hash as details of the object that stands for the record, in base 64 as the
schema asks: whoever keeps the messages keeps the chain.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement, tostring

from gateway.audit.mappings import event_codes

if TYPE_CHECKING:
    from gateway.audit.chain import Record

OWN = "99CORDON"
"""Designator of our own codes; a private one begins with 99 (PS3.16 §8)."""
MAX_BYTES = 32_768
"""Length that every receiver takes (PS3.15 A.6)."""

_OUTCOMES = {"success": "0", "refused": "4", "failed": "8"}
_IP = re.compile(r"[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class DicomForm:
    """One document: the messages under a root of our own, for the schema knows single messages alone.

    Args:
        source: The installation's name, ``AuditSourceID``.
    """

    def __init__(self, source: str) -> None:
        self._source = source

    def begin(self) -> bytes:
        """The root's start tag."""
        return b'<?xml version="1.0" encoding="UTF-8"?>\n<AuditMessages>\n'

    def record(self, record: Record) -> bytes:
        """One message."""
        return message(record, self._source) + b"\n"

    def end(self) -> bytes:
        """The root's end tag."""
        return b"</AuditMessages>\n"


def message(record: Record, source: str) -> bytes:
    """The record as an ``AuditMessage`` element, UTF-8, without an XML declaration."""
    written = _written(record, source, whole=True)
    # What is longer than a receiver must take goes without its record; the hash stays.
    return written if len(written) <= MAX_BYTES else _written(record, source, whole=False)


def _written(record: Record, source: str, *, whole: bool) -> bytes:
    said = record.fields
    root = Element("AuditMessage")
    _event(root, said)
    _participants(root, said, source)
    audited = SubElement(root, "AuditSourceIdentification", AuditSourceID=_text(source))
    SubElement(audited, "AuditSourceTypeCode", {"csd-code": "4"})
    if said.get("patient"):
        _object(
            root,
            said["patient"],
            name="pseudonym",
            kind=("2", "RFC-3881", "Patient Number"),
            code="1",
            role="1",
        )
    name = "Security Audit Log" if str(said.get("type", "")).startswith("audit.") else str(said.get("type"))
    of_record = _object(
        root, f"urn:cordon:audit:{record.seq}", name=name, kind=("12", "RFC-3881", "URI"), code="2", role="13"
    )
    details = {"hash": record.hash.encode(), "correlation ID": str(said.get("request_id", "")).encode()}
    if whole:
        details["record"] = record.body.encode()
    for kind, value in details.items():
        SubElement(of_record, "ParticipantObjectDetail", type=kind, value=base64.b64encode(value).decode())
    return bytes(tostring(root, encoding="utf-8", xml_declaration=False))


def _event(root: Element, said: Any) -> None:
    kind = str(said.get("type"))
    code = event_codes().get(kind)
    event = SubElement(root, "EventIdentification")
    if code is not None:
        event.set("EventActionCode", code.action)
    event.set("EventDateTime", _text(said.get("time")))
    event.set("EventOutcomeIndicator", _OUTCOMES.get(str(said.get("outcome", "success")), "8"))
    if code is not None and code.of_dicom:
        SubElement(event, "EventID", _coded(code.code, "DCM", code.meaning))
    else:
        SubElement(event, "EventID", _coded(kind, OWN, code.meaning if code else kind))
    if code is not None and code.subtype:
        SubElement(event, "EventTypeCode", _coded(code.subtype, "DCM", code.subtype_meaning))
    if code is not None and code.of_dicom:
        SubElement(event, "EventTypeCode", _coded(kind, OWN, kind))
    if said.get("problem"):
        SubElement(event, "EventOutcomeDescription").text = _text(said["problem"])


def _participants(root: Element, said: Any, source: str) -> None:
    actor = SubElement(root, "ActiveParticipant", UserID=_text(said.get("actor") or "unknown"), UserIsRequestor="true")
    if said.get("tenant"):
        actor.set("AlternativeUserID", _text(said["tenant"]))
    address = str(said.get("address", ""))
    if address:
        actor.set("NetworkAccessPointID", _text(address))
    if _IP.fullmatch(address):
        actor.set("NetworkAccessPointTypeCode", "2")
    gateway = SubElement(root, "ActiveParticipant", UserID=_text(source), UserIsRequestor="false")
    SubElement(gateway, "RoleIDCode", _coded("110150", "DCM", "Application"))


def _object(root: Element, identifier: Any, *, name: str, kind: tuple[str, str, str], code: str, role: str) -> Element:
    found = SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_text(identifier),
        ParticipantObjectTypeCode=code,
        ParticipantObjectTypeCodeRole=role,
    )
    SubElement(found, "ParticipantObjectIDTypeCode", _coded(*kind))
    SubElement(found, "ParticipantObjectName").text = name
    return found


def _coded(code: str, system: str, meaning: str) -> dict[str, str]:
    return {"csd-code": code, "codeSystemName": system, "originalText": meaning}


def _text(value: Any) -> str:
    """What XML 1.0 can hold of it; a record's text prints, so that nothing is lost."""
    return _NOT_XML.sub("", str(value))
