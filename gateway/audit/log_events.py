"""Step 7 of 7: the events of what is done with the log itself. ``events.py`` has the whole list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from gateway.audit.event import AuditEvent, Outcome

SentAs = Literal["ndjson", "csv", "fhir", "dicom", "syslog"]
"""The forms in which records go out."""


@dataclass(frozen=True, slots=True)
class AuditRead(AuditEvent):
    """Part of this log was read.

    Attributes:
        action: How; ``export`` is the beginning of one, ``audit.exported`` its end.
        filters: Names of the filters that were set; not what to.
        all_tenants: Whether records of other tenants than the actor's were among what was looked through.
    """

    type_name: ClassVar[str] = "audit.read"

    action: Literal["list", "export", "verify", "proof"]
    filters: tuple[str, ...] = ()
    all_tenants: bool = False
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class PatientSought(AuditEvent):
    """A patient's pseudonym was computed from an ID that someone entered. The ID itself is nowhere on record.

    Attributes:
        patient: The pseudonym.
        patient_tenant: The tenant in which it stands for the patient.
    """

    type_name: ClassVar[str] = "audit.patient"

    patient: str
    patient_tenant: str
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class AuditExported(AuditEvent):
    """Part of this log was taken away.

    Attributes:
        format: In which form.
        filters: Names of the filters that were set; not what to.
        records: How many records went out.
        first: Number of the first of them; 0 if there was none.
        last: Number of the last.
        digest: SHA-256 of the last one's body, hex; empty if there was none.
        gaps: Whether numbers between the first and the last were left out.
        altered: How many of them were not what had been hashed.
        bytes: Length of the output.
        output_digest: SHA-256 of the output, hex.
        all_tenants: Whether records of other tenants than the actor's could be among them.
        outcome: ``failed`` if the receiver left before the end; the digest is of what went out.
    """

    type_name: ClassVar[str] = "audit.exported"

    format: SentAs
    filters: tuple[str, ...]
    records: int
    first: int
    last: int
    digest: str
    gaps: bool
    altered: int
    bytes: int
    output_digest: str
    all_tenants: bool = False
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class AuditTruncated(AuditEvent):
    """The oldest records were given up, because the retention policy lets them go.

    Attributes:
        through: Number of the last record that was given up.
        head: Its hash.
        before: The time before which all of them were made, UTC.
        records: How many there were.
    """

    type_name: ClassVar[str] = "audit.truncated"

    through: int
    head: str
    before: str
    records: int
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class ChainKeyChanged(AuditEvent):
    """From here on records are made with another key of the chain; those before count for no later record.

    Attributes:
        previous: ID of the key until now; empty for one that records did not name.
        current: ID of the key from now on.
    """

    type_name: ClassVar[str] = "audit.key-changed"

    previous: str
    current: str
    outcome: Outcome = "success"
