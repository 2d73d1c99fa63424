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
_UID = re.compile(r"2\.25\.[0-9]+|[0-9a-f]{32}", re.ASCII)
_PSEUDONYM = re.compile(r"[A-Z2-7]{24}", re.ASCII)
_LONGEST_UID = 64
_MARK_DIGITS = 8


def output_name(names: Pseudonyms, media_type: MediaType, content: str) -> str:
    """The name, with ``/`` between folders.

    Args:
        names: Stand-ins, or marks of UIDs that the policy keeps; None where it lets objects not be linked.
        media_type: Of the output.
        content: The input's mark; names what has no identifier of its own.
    """
    suffix = _SUFFIXES[media_type]
    if media_type is not MediaType.DICOM:
        return f"pictures/{content}{suffix}"
    folders = [names.patient if names.patient and _PSEUDONYM.fullmatch(names.patient) else "no-patient"]
    folders += [_uid(names.study) or "no-study", _uid(names.series) or "no-series"]
    return "/".join([*folders, (_uid(names.instance) or content) + suffix])


def apart(name: str, content: str) -> str:
    """The name of one of several different inputs that share an instance UID."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}-{content[:_MARK_DIGITS]}{dot}{suffix}"


def _uid(uid: str | None) -> str | None:
    """A stand-in or mark, if it is one: a path is made of nothing else."""
    return uid if uid and len(uid) <= _LONGEST_UID and _UID.fullmatch(uid) else None
