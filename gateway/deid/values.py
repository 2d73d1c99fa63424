"""Step 3 of 7: what an element holds, read without pydicom's conversions where bytes are enough; and dummy values.

pydicom converts a value when it is first touched, which costs time, warns with the value in the warning's text, and can
fail on a malformed one. Most decisions need the tag, the VR and a few bytes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom.datadict import mask_match
from pydicom.dataelem import DataElement, RawDataElement

if TYPE_CHECKING:
    from gateway.deid.tables import Check

Element: TypeAlias = DataElement | RawDataElement

_BYTES_EACH = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
_NUMBER = {
    "DS": re.compile(r" *[+-]?(\d{1,16}(\.\d{0,16})?|\.\d{1,16})([eE][+-]?\d{1,3})? *"),
    "IS": re.compile(r" *[+-]?\d{1,12} *"),
}
_CODE = re.compile(r"[A-Z0-9_* .+-]{0,16}")
_WORD = re.compile(r"[A-Z]+[0-9]*\*?|[0-9]+")
_NUMBERED = re.compile(r"[0-9]{1,2}\*?$")
OTHER_TERM = "OTHER"

DUMMIES: dict[str, Any] = {
    **dict.fromkeys(("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), "REMOVED"),
    **dict.fromkeys(("AT", "SL", "SS", "SV", "UL", "US", "UV"), 0),
    **dict.fromkeys(("FD", "FL"), 0.0),
    **dict.fromkeys(("DS", "IS"), "0"),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), bytes(8)),
    "AS": "000Y",
    "CS": OTHER_TERM,
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "UR": "urn:removed",
}
"""Values that are valid for their VR and say nothing."""


@lru_cache(maxsize=8192)
def dictionary_vrs(tag: int) -> tuple[str, ...]:
    """The VRs that the data dictionary (PS3.6) gives an attribute; empty if it does not know it, or is private."""
    if tag & 0x10000:
        return ()
    entry = DicomDictionary.get(tag)
    if entry is None and (mask := mask_match(tag)):
        entry = RepeatersDictionary[mask]
    return tuple(entry[0].split(" or ")) if entry else ()


def vr_of(element: Element, known: tuple[str, ...]) -> str | None:
    """The VR to treat an element as; None if it declares one that its attribute cannot have.

    Implicit VR and UN leave it to the dictionary (PS3.5 6.2.2). A contradiction is how text hides in a number's place.
    """
    declared = element.VR
    if declared is None or declared == "UN" or " or " in declared:
        return known[0] if known else "UN"
    return str(declared) if not known or declared in known else None


def texts(element: Element) -> list[str]:
    """The values of a text element without converting it; bytes above 127 as Latin-1."""
    value = element.value
    if value is None:
        return []
    if isinstance(value, bytes):
        return [part.strip(" \0") for part in value.decode("latin-1").split("\\")]
    if isinstance(value, str):
        return [part.strip(" \0") for part in value.split("\\")]
    try:
        return [str(part).strip(" \0") for part in value]
    except TypeError:
        return [str(value)]


def is_empty(element: Element) -> bool:
    """Whether it has no value."""
    value = element.value
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def fits(element: Element, vr: str, tag: int, check: Check, terms: frozenset[str]) -> bool:
    """Whether a value that is about to be kept is what its VR promises, and no more."""
    if check == "number":
        return all(not part or _NUMBER[vr].fullmatch(part) for part in texts(element))
    if check == "length":
        vm = DicomDictionary[tag][1] if tag in DicomDictionary else ""
        raw = element.value
        return not (isinstance(raw, bytes) and vm.isdigit() and len(raw) > int(vm) * _BYTES_EACH[vr])
    if check == "term":
        return all(is_term(part, terms) for part in texts(element))
    return True


def is_term(value: str, terms: frozenset[str]) -> bool:
    """Whether every word of a coded string is a known term, a single letter, or a number of up to four digits."""
    if not _CODE.fullmatch(value):
        return False
    return value in terms or all(
        word in terms or len(word) == 1 or (word.isdigit() and len(word) <= 4) or _NUMBERED.sub("", word) in terms
        for word in _WORD.findall(value)
    )
