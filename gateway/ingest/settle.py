"""Step 2 of 7: raw values become values, all of them now, so that none is parsed later and elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydicom.datadict import dictionary_VR

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

_PATTERNS = {
    "AS": re.compile(r"([0-9]{3}[DWMY])?", re.ASCII),
    "DA": re.compile(r"[0-9.-]*", re.ASCII),
    "DT": re.compile(r"[0-9.+-]*", re.ASCII),
    "TM": re.compile(r"[0-9.:-]*", re.ASCII),
    "UI": re.compile(r"[0-9.]*", re.ASCII),
}
_WRITTEN = frozenset({"DS", "IS", *_PATTERNS})
_BINARY = frozenset({"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
_WORDLESS = _WRITTEN | _BINARY | {"SQ"}
"""Value representations that cannot hold words: numbers, dates, times, ages, UIDs; and items, which are looked into.
Old spellings of dates pass."""


def settle(dataset: Dataset) -> None:
    """Convert every value of a data set and of its items. Call it inside ``fence``.

    A value that does not fit its VR is dropped with its element: a rule that keeps a number, a date or a UID must not
    keep a name that was written in its place. So goes an element whose VR allows words where the dictionary's does not.
    """
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
            fits = _fits(element)
        except Exception:  # noqa: BLE001 - pydicom's converters raise what they like
            fits = False
        if not fits:
            del dataset._dict[tag]  # noqa: SLF001 - `del dataset[tag]` converts first, which may be what failed
        elif element.VR == "SQ":
            for item in element.value:
                settle(item)


def _fits(element: DataElement) -> bool:
    if element.VR not in _WORDLESS and _is_wordless(element.tag):
        return False
    if element.VR not in _WRITTEN or element.is_empty:
        return True
    values = element.value if element.VM > 1 else [element.value]
    pattern = _PATTERNS.get(element.VR)
    if pattern is None:  # pydicom leaves text where it finds no number
        return all(isinstance(value, int | float) or value in ("", None) for value in values)
    return all(pattern.fullmatch(str(value).strip(" \0")) is not None for value in values)


def _is_wordless(tag: int) -> bool:
    """Whether the dictionary gives the tag such a VR; false for private and unknown tags."""
    try:
        return _WORDLESS.issuperset(dictionary_VR(tag).split(" or "))
    except KeyError:
        return False
