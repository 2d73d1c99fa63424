"""Step 3 of 7: what de-identification did. Counts, tag groups and codes; never a value."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydicom._dicom_dict import DicomDictionary

if TYPE_CHECKING:
    from collections.abc import Mapping

_REPEATED = {f"{first}{number:02X}" for first in ("50", "60") for number in range(0, 0x20, 2)}  # PS3.5 7.6
_STANDARD = {f"{tag >> 16:04X}" for tag in DicomDictionary} | _REPEATED


@dataclass(frozen=True)
class DeidReport:
    """Goes into the answer, and into the audit record.

    Attributes:
        policy: Name of the policy.
        policy_digest: SHA-256 of the policy file and the tables it rests on, hex.
        methods: CID 7050 codes of what was applied, e.g. ``113100``.
        actions: Action name (``removed``, ``emptied``, ``replaced``, ``uid``, ``private``, ``overlay``, ``metadata``,
            ...) to how many elements (for rasters: metadata segments).
        groups: Tag group in hex (``0010``) or raster segment kind (``exif``) to how many elements it lost or had
            changed. ``as_json`` has ``private`` and ``unknown`` for those that are not the standard's: their numbers
            are the sender's choice, so they could tell something, and there may be thousands.
        text_found: Kind of identifier (``name``, ``id``, ``date``, ...) to how many were taken out of free text.
        frames_looked_at: Distinct frames that the text detector saw.
        regions_masked: Text regions masked in them.
        masked_share: Largest share of one frame's area that was masked, 0 to 1.
        seconds_text: Time that the look for text took.
        frames_masked: Frames with a mask.
        risk: Of a whole object: ``high``, ``medium`` or ``low``, how likely it has print in it; empty if none was told.
        templates: Names of the policy's region templates that held for it.
        recoded: Transfer syntax, or kind of raster, in which changed frames were written; empty if none was changed.
    """

    policy: str
    policy_digest: str
    methods: tuple[str, ...] = ()
    actions: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    text_found: dict[str, int] = field(default_factory=dict)
    frames_looked_at: int = 0
    regions_masked: int = 0
    masked_share: float = 0.0
    seconds_text: float = 0.0
    frames_masked: int = 0
    risk: str = ""
    templates: tuple[str, ...] = ()
    recoded: str = ""

    def as_json(self) -> dict[str, Any]:
        """JSON types only."""
        return vars(self) | {  # dataclasses.asdict would copy each value of it, at ten times the cost
            "methods": list(self.methods),
            "templates": list(self.templates),
            "actions": dict(self.actions),
            "text_found": dict(self.text_found),
            "groups": _named(self.groups),
            "masked_share": round(self.masked_share, 4),
            "seconds_text": round(self.seconds_text, 4),
        }


def _named(groups: Mapping[str, int]) -> dict[str, int]:
    named = Counter[str]()
    for group, count in groups.items():
        named[group if group in _STANDARD or not _is_tag_group(group) else _stranger(group)] += count
    return dict(named)


def _is_tag_group(group: str) -> bool:
    return len(group) == len("0010") and not set(group) - set("0123456789ABCDEF")


def _stranger(group: str) -> str:
    return "private" if int(group, 16) & 1 else "unknown"
