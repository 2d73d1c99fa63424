"""The batch tool: what an output is called. Nothing of the input's path: files and folders are named for patients.

``<patient>/<study>/<series>/<instance>.dcm``, each the stand-in that stands in the object too, so that the folder reads
like the data: one folder a patient, a study, a series. Pictures have no identifiers: ``pictures/<mark>.png``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.ingest.upload import MediaType

if TYPE_CHECKING:
    from gateway.deid.image import Pseudonyms

_SUFFIXES = {MediaType.DICOM: ".dcm", MediaType.JPEG: ".jpg", MediaType.PNG: ".png"}
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)
_PSEUDONYM = re.compile(r"[A-Z2-7]{24}", re.ASCII)
_LONGEST_UID = 64
_MARK_DIGITS = 8


def output_name(pseudonyms: Pseudonyms, media_type: MediaType, content: str, *, by_patient: bool) -> str:
    """The name, with ``/`` between folders.

    Args:
        pseudonyms: Of the output.
        media_type: Of the output.
        content: The input's mark; names what has no identifier of its own.
        by_patient: Whether the policy lets a patient's objects be linked.
    """
    suffix = _SUFFIXES[media_type]
    if media_type is not MediaType.DICOM:
        return f"pictures/{content}{suffix}"
    patient = pseudonyms.patient if by_patient else None
    folders = [patient if patient and _PSEUDONYM.fullmatch(patient) else "no-patient"]
    folders += [_uid(pseudonyms.study) or "no-study", _uid(pseudonyms.series) or "no-series"]
    return "/".join([*folders, (_uid(pseudonyms.instance) or content) + suffix])


def apart(name: str, content: str) -> str:
    """The name of one of several different inputs that share an instance UID."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}-{content[:_MARK_DIGITS]}{dot}{suffix}"


def _uid(uid: str | None) -> str | None:
    """A UID that may be a file's name: a policy can keep UIDs, and a file can hold anything in their place."""
    return uid if uid and len(uid) <= _LONGEST_UID and _UID.fullmatch(uid) else None
