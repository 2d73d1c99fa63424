"""Step 2 of 7: what does not fit its value representation goes, before anything reads it.

Values stay bytes: each is held against the grammar of its VR (PS3.5 §6.2), and converted by who needs it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydicom.dataelem import DataElement, RawDataElement

from gateway.ingest.vr import NUMBERS, TAGS, known_vr

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

    from gateway.ingest.vr import Elements

_PIXEL_REPRESENTATION, _LUT_DESCRIPTOR, _LUT_DATA = TAGS[0x00280103], TAGS[0x00283002], TAGS[0x00283006]

_NUMBER = rb"(?:[+-]?(?:[0-9]{1,64}+(?:\.[0-9]{0,64}+)?|\.[0-9]{1,64}+)(?:[eE][+-]?[0-9]{1,2})?)?"
_ONE_VALUE = {
    "AS": rb"(?:[0-9]{3}[DWMY])?",
    "DA": rb"[0-9.-]*+",
    "DS": _NUMBER,
    "DT": rb"[0-9.+-]*+",
    "IS": _NUMBER,
    "TM": rb"[0-9.:-]*+",
    "UI": rb"[0-9.]*+",
}
"""Old spellings of dates and times pass, and whole numbers written as 1.0."""


def _values(one: bytes, pad: bytes) -> Callable[[bytes], re.Match[bytes] | None]:
    """Matches any number of values. Nothing in it can match twice, so the time is linear in the length."""
    return re.compile(rb"%b*+%b%b*+(?:\\%b*+%b%b*+)*+[ \0]*+" % (pad, one, pad, pad, one, pad)).fullmatch


_GRAMMAR = {vr: _values(one, b" " if one == _NUMBER else rb"[ \0]") for vr, one in _ONE_VALUE.items()}
_WORDLESS = frozenset({"SQ", *NUMBERS, *_GRAMMAR})
"""Value representations that cannot hold words: numbers, dates, times, ages, UIDs; and items, which are looked into."""


def _is_wordless(tag: int) -> bool:
    """Whether the dictionary gives the tag such a VR; false for private and unknown tags."""
    return _WORDLESS.issuperset((known_vr(tag) or "UN").split(" or "))


_WORDLESS_TAGS = frozenset(key for key in TAGS.values() if _is_wordless(key))
_OTHER_TAGS = frozenset(TAGS.values()) - _WORDLESS_TAGS


def settle(dataset: Dataset, *, signed: bool = False) -> None:
    """Drop what does not fit, from a data set as ``read_structure`` leaves it and from its items.

    A value that does not fit its VR is dropped with its element: a rule that keeps a number, a date or a UID must not
    keep a name that was written in its place. So goes an element whose VR allows words where the dictionary's does not.
    A VR that depends on other attributes becomes the one that it is here.

    Args:
        dataset: Changed in place.
        signed: What Pixel Representation of the data set around it says.
    """
    elements: Elements = dataset._dict  # type: ignore[assignment] # noqa: SLF001 - a Dataset converts what it hands out
    if isinstance(representation := elements.get(_PIXEL_REPRESENTATION), RawDataElement):
        signed = any(representation.value or b"")
    misfits = []
    for tag, element in elements.items():
        if isinstance(element, DataElement):
            for item in element.value:
                settle(item, signed=signed)
            continue
        vr, value = element.VR or "UN", element.value or b""
        if len(vr) > 2:
            vr = _vr_here(tag, vr, elements, signed=signed)
            elements[tag] = element._replace(VR=vr)
        if (size := NUMBERS.get(vr)) is not None:
            fits = len(value) % size == 0
        elif (grammar := _GRAMMAR.get(vr)) is not None:
            fits = grammar(value) is not None
        else:
            fits = tag in _OTHER_TAGS or not (tag in _WORDLESS_TAGS or _is_wordless(tag))
        if not fits:
            misfits.append(tag)
    for tag in misfits:
        del elements[tag]


def _vr_here(tag: BaseTag, vr: str, elements: Elements, *, signed: bool) -> str:
    """The VR of an attribute that has several (PS3.6), written in implicit VR: words, or numbers like the pixels."""
    if vr == "US or SS":
        return "SS" if signed else "US"
    if tag == _LUT_DATA and isinstance(descriptor := elements.get(_LUT_DESCRIPTOR), RawDataElement):
        first = (descriptor.value or b"")[:2]
        if int.from_bytes(first, "little" if descriptor.is_little_endian else "big") == 1:
            return "US"  # one entry is a number (PS3.3 C.11.1.1)
    return "OW"
