"""The batch tool: what runs in a worker process (``isolation.py``). Steps 2 and 3, and the reading of a DICOMDIR."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.multival import MultiValue

from gateway.batch.marks import Marks
from gateway.deid.engine import DeidEngine
from gateway.deid.image import Pseudonyms
from gateway.deid.values import texts
from gateway.embedded.child import die_with_parent
from gateway.ingest.decode import decode_object
from gateway.ingest.guard import fence
from gateway.ingest.sniff import PREAMBLE
from gateway.ingest.upload import Upload

if TYPE_CHECKING:
    from gateway.deid.image import SanitizedObject
    from gateway.deid.report import DeidReport
    from gateway.ingest.upload import MediaType
    from gateway.settings import DeidSettings, IngestSettings

_DICM = b"DICM"
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = 0x0020000D, 0x0020000E, 0x00080018


@dataclass(frozen=True, slots=True)
class Task:
    """One file on its way to a worker.

    Attributes:
        data: Its bytes. Identifying.
        tenant: Whose stand-ins are made.
        limits: Bounds on one file.
        deid: Policy and key.
        parent: Process ID of the command: the worker ends when that does.
    """

    data: bytes = field(repr=False)
    tenant: str
    limits: IngestSettings
    deid: DeidSettings
    parent: int


@dataclass(frozen=True, slots=True)
class Sanitized:
    """What a worker hands back. Identifies nobody.

    Attributes:
        data: The file.
        media_type: What it is now.
        names: What the output can be named by: its stand-ins, and marks in place of UIDs that the policy keeps.
        report: What was done.
    """

    data: bytes = field(repr=False)
    media_type: MediaType
    names: Pseudonyms
    report: DeidReport


@lru_cache(maxsize=2)
def engine_of(deid: DeidSettings) -> DeidEngine:
    """The engine, loaded once a process."""
    return DeidEngine.load(deid.policy, deid.key.get_secret_value().encode())


@lru_cache(maxsize=1)
def tie_to(parent: int) -> None:
    """End with the command, also when it is killed. Done once a process."""
    if os.getppid() == parent:  # else the function was called without a worker, as tests do
        die_with_parent(parent)


def prepare(task: Task) -> None:
    """Load what every file needs, before the first file's time runs."""
    tie_to(task.parent)
    engine_of(task.deid)


def sanitize(task: Task) -> Sanitized:
    """Steps 2 and 3, in a worker process: an identifying file in, a sanitized file out."""
    tie_to(task.parent)
    found = decode_object(upload(task), task.limits)
    done = engine_of(task.deid).deidentify_object(found, tenant=task.tenant)
    return Sanitized(done.data, done.media_type, _names(done, task), done.report)


def _names(done: SanitizedObject, task: Task) -> Pseudonyms:
    marks, kept = Marks.of(task.deid.key.get_secret_value().encode(), task.tenant), done.pseudonyms

    def mark(tag: int) -> str | None:
        if done.dataset is None or tag not in done.dataset:
            return None
        uid = "\\".join(texts(done.dataset.get_item(tag)))
        return marks.uid(uid) if uid else None

    return Pseudonyms(
        kept.patient,
        kept.study or mark(_STUDY_UID),
        kept.series or mark(_SERIES_UID),
        kept.instance or mark(_INSTANCE_UID),
    )


def upload(task: Task) -> Upload:
    """The file as step 2 takes it: with an empty preamble.

    The gateway refuses a preamble that could be a program's (CVE-2019-11687). Here the file lies on the operator's disk
    already, scanners do write there what they like, and the output's preamble is zero.
    """
    is_dicom = task.data[PREAMBLE : PREAMBLE + len(_DICM)] == _DICM
    return Upload(bytes(PREAMBLE) + task.data[PREAMBLE:] if is_dicom and any(task.data[:PREAMBLE]) else task.data)


def references(data: bytes) -> list[tuple[str, ...]]:
    """The File IDs that a DICOMDIR's records in use name (PS3.3 F.3.2.2), in their order, each once.

    Raises:
        Unreadable: It is not a DICOMDIR, or broken.
    """
    found: dict[tuple[str, ...], None] = {}
    with fence("The DICOMDIR cannot be read"):
        directory = dcmread(io.BytesIO(data))
        for record in directory.DirectoryRecordSequence or ():
            file = record.get("ReferencedFileID")
            if file and record.get("RecordInUseFlag") != 0:
                parts = file if isinstance(file, MultiValue) else [file]
                found[tuple(str(part).strip() for part in parts)] = None
    return list(found)
