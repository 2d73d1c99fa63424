"""Step 3 of 7: the second look. What the identifying attributes held must be nowhere in what comes out.

It does not ask the rules what they did: it walks the output afresh and searches every value for every identifier, in
every character encoding that the header could have used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydicom.charset import encode_string

from gateway.deid.values import is_term, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

    from gateway.deid.identifiers import Identifiers
    from gateway.deid.tables import Tables
    from gateway.deid.values import Element

_MIN_BYTES_IN_BINARY = 6  # shorter runs occur in pixel tables by chance
_NUMERIC_VRS = frozenset({"DS", "IS"})
_MIN_DIGITS_IN_NUMBERS = 6  # a Patient ID of 512 is not proved by an image of 512 columns


def survivors(target: Dataset, identifiers: Identifiers, tables: Tables) -> list[int]:
    """Tags of the elements of a de-identified dataset in which an identifier is still to be found."""
    needles = identifiers.needles()
    if not needles:
        return []
    encoded = {needle: _encodings(needle, identifiers.encodings) for needle in needles}
    words = re.compile("|".join(rf"(?<!\w){re.escape(needle)}(?!\w)" for needle in needles))
    found = []
    for tag, element in _elements(target):
        value = element.value
        if value is None or value == "":
            continue
        if isinstance(value, bytes) and element.VR not in _TEXT_VRS:
            lowered = value.lower()
            if any(
                len(form) >= _MIN_BYTES_IN_BINARY and form in lowered for forms in encoded.values() for form in forms
            ):
                found.append(tag)
            continue
        if element.VR in _BINARY_NUMBERS:
            continue
        if _holds(element, tag, words, encoded, tables):
            found.append(tag)
    return found


_BINARY_NUMBERS = frozenset({"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
_TEXT_VRS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)


def _holds(element: Element, tag: int, words: re.Pattern[str], encoded: dict[str, set[bytes]], tables: Tables) -> bool:
    parts = texts(element)
    kept = tables.keep.get(tag)
    for part in parts:
        # A term of the standard is no evidence: a patient called Head does not make every HEAD an identifier.
        if element.VR == "CS" and is_term(part, tables.terms):
            continue
        if kept is not None and kept.pattern is not None and kept.pattern.fullmatch(part) and not part.isdigit():
            continue
        lowered = part.lower()
        for match in words.finditer(lowered):
            if element.VR not in _NUMERIC_VRS or len(match[0]) >= _MIN_DIGITS_IN_NUMBERS:
                return True
        raw = part.encode("latin-1", "ignore").lower()
        if not part.isascii() and any(form in raw for forms in encoded.values() for form in forms):
            return True
    return False


def _encodings(needle: str, codecs: set[str]) -> set[bytes]:
    """The identifier as bytes: small, capitals, and as names are written."""
    forms = set()
    for text in (needle, needle.upper(), needle.title()):
        forms |= {text.encode().lower(), text.encode("utf-16-le").lower(), text.encode("utf-16-be").lower()}
        for codec in codecs:
            try:
                forms.add(encode_string(text, [codec]).lower())
            except Exception:  # noqa: BLE001, S112 - a character set that cannot write this identifier cannot hide it
                continue
    return forms


def _elements(dataset: Dataset) -> Iterator[tuple[int, Element]]:
    for tag in dataset.keys():  # noqa: SIM118 - iterating a Dataset itself converts every element
        element = dataset.get_item(tag)
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _elements(item)
        else:
            yield int(tag), element
