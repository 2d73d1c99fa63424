"""Step 3 of 7: what the options of a policy make of a row of Table E.1-1 (PS3.15 E.3).

An option's column goes before the Basic Profile's. Where two options disagree, C goes before K: cleaning removes more,
and a date that one option would keep as it is would betray the shift that the other makes (docs/adr/0009).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.deid.tables import ContentRow, ProfileRow

CLEAN_GRAPHICS = "113103"
CLEAN_CONTENT = "113104"
CLEAN_DESCRIPTORS = "113105"
FULL_DATES = "113106"
MODIFIED_DATES = "113107"
PATIENT_CHARACTERISTICS = "113108"
DEVICE_IDENTITY = "113109"
RETAIN_UIDS = "113110"
SAFE_PRIVATE = "113111"
INSTITUTION_IDENTITY = "113112"


class Decision(NamedTuple):
    """What is to be done, and who says so.

    Attributes:
        code: Of Table E.1-1a.
        option: CID 7050 code of the option that decided; empty for the Basic Profile.
    """

    code: str
    option: str = ""


def decide(row: ProfileRow | ContentRow, options: Collection[str]) -> Decision:
    """The action of one row under some options."""
    said = [Decision(code, option) for option, code in sorted(row.options.items()) if option in options]
    return next((one for code in ("C", "K") for one in said if one.code == code), Decision(row.basic))


def temporal_information(options: Collection[str]) -> str:
    """What Longitudinal Temporal Information Modified (0028,0303) has to say (PS3.15 E.3.6)."""
    if FULL_DATES in options:
        return "UNMODIFIED"
    return "MODIFIED" if MODIFIED_DATES in options else "REMOVED"
