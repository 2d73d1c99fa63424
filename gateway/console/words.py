"""How the console says numbers, times and states."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

STATES = {
    "active": "good",
    "ok": "good",
    "on": "good",
    "success": "good",
    "expired": "idle",
    "waiting": "warn",
    "refused": "warn",
    "revoked": "bad",
    "off": "bad",
    "failed": "bad",
    "unavailable": "bad",
}
"""A state to its tone. The tone is never the only sign: the word stands beside it."""

GROUPS = {
    "0002": "File meta information",
    "0008": "Identification",
    "0010": "Patient",
    "0012": "Clinical trial",
    "0018": "Acquisition",
    "0020": "Relationship",
    "0028": "Image presentation",
    "0032": "Study",
    "0038": "Visit",
    "0040": "Procedure",
    "0054": "Nuclear medicine",
    "0088": "Storage",
    "0400": "Digital signatures",
    "4008": "Results",
    "private": "Private attributes",
    "unknown": "Not in the standard",
    "exif": "Camera data, perhaps with a place",
    "xmp": "Metadata of programs",
    "iptc": "Captions and credits",
    "comment": "Comments",
    "text": "Texts",
    "time": "Times",
    "thumbnail": "Small pictures beside the picture",
    "mpf": "Further pictures",
    "animation": "Further pictures",
    "icc": "Colour profile",
    "application": "Data of programs",
    "trailing": "Bytes after the end",
    "other": "Other segments",
}
"""Tag groups (PS3.6), and kinds of a raster's metadata, to what they are about."""

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def utc(moment: datetime | str | None) -> str:
    """``2026-11-21 15:04:05``, in UTC; the audit log's text of a time is taken, too."""
    if moment is None or moment == "":
        return ""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def machine(moment: datetime | str) -> str:
    """For the attribute ``datetime``, from which a script tells the local time."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """``3 days``, ``1 hour``: the largest unit that fits, rounded down."""
    for size, unit in _UNITS:
        if seconds >= size:
            return plural(int(seconds // size), unit)
    return "0 seconds"


def relative(moment: datetime, now: datetime) -> str:
    """``3 hours ago``, ``in 2 days``."""
    seconds = (moment - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {span(seconds)}" if seconds > 0 else f"{span(-seconds)} ago"


def number(value: int) -> str:
    """Thousands set apart by a narrow blank that does not break."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def plural(count: int, word: str, many: str = "") -> str:
    """``1 record``, ``2 records``."""
    return f"{number(count)} {word if count == 1 else many or word + 's'}"


def tone(state: str) -> str:
    """The tone of a state."""
    return STATES.get(state, "idle")


def title(name: str) -> str:
    """``brain_mri_resnet50`` stays, ``key.issued`` becomes ``Key issued``."""
    said = name.replace(".", " ").replace("-", " ")
    return said[:1].upper() + said[1:]


def short(digest: str, length: int = 12) -> str:
    """The beginning of a digest, marked as cut."""
    return digest if len(digest) <= length else f"{digest[:length]}…"


FILTERS: dict[str, Callable[..., Any]] = {
    "utc": utc,
    "machine": machine,
    "span": span,
    "relative": relative,
    "number": number,
    "plural": plural,
    "tone": tone,
    "said": title,
    "short": short,
}
