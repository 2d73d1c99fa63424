"""Step 3 of 7: the second look. What the identifying attributes held must be nowhere in what comes out.

It does not ask the rules what they did: it walks the output afresh and searches every value for every identifier, in
every character encoding that the header could have used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydicom.charset import convert_encodings, encode_string
from pydicom.valuerep import PersonName

from gateway.deid.values import is_term, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

    from gateway.deid.tables import IdentifierKind, Tables
    from gateway.deid.values import Element

_MIN_LETTERS = 3
_MIN_OTHER = 2  # a name of two Kanji or Hangul is a whole name
_MIN_BYTES_IN_BINARY = 6  # shorter runs occur in pixel tables by chance
_NUMERIC_VRS = frozenset({"DS", "IS"})
_MIN_DIGITS_IN_NUMBERS = 6  # a Patient ID of 512 is not proved by an image of 512 columns
_CHARACTER_SET = 0x00080005
_WORD = re.compile(r"\w+", re.UNICODE)


@dataclass(slots=True)
class Identifiers:
    """What was found in the identifying attributes. Identifying: never leaves the worker, never in a repr."""

    strings: set[str] = field(default_factory=set, repr=False)
    encodings: set[str] = field(default_factory=set, repr=False)

    def collect(self, source: Dataset, tag: int, kind: IdentifierKind | str) -> None:
        """Note the values of one element."""
        try:
            value = source[tag].value
        except Exception:  # noqa: BLE001 - undecodable: its bytes as they are
            self.strings.update(texts(source.get_item(tag)))
            return
        self.encodings.update(_codecs(source))
        for part in value if isinstance(value, (list, tuple)) or hasattr(value, "insert") else [value]:
            self._note(part, kind)

    def _note(self, value: object, kind: str) -> None:
        text = str(value or "").strip(" \0^=")
        if kind == "name" or isinstance(value, PersonName):
            self.strings.update(_WORD.findall(text.replace("_", " ")))
        if kind == "date" and len(text) == 8:
            year, month, day = text[:4], text[4:6], text[6:]
            self.strings.update(
                f"{a}{s}{b}{s}{c}"
                for s in "-./"
                for a, b, c in ((year, month, day), (day, month, year), (month, day, year))
            )
        self.strings.add(text)

    def needles(self) -> list[str]:
        """Those long enough to prove something, lower case."""
        return sorted(
            {text.lower() for text in self.strings if len(text) >= (_MIN_LETTERS if text.isascii() else _MIN_OTHER)}
        )


def _codecs(dataset: Dataset) -> list[str]:
    """Python codecs of the character sets that a dataset declares, or inherits from the one that it stands in."""
    declared = convert_encodings(texts(dataset.get_item(_CHARACTER_SET))) if _CHARACTER_SET in dataset else []
    inherited = dataset.original_character_set
    return [*declared, *([inherited] if isinstance(inherited, str) else inherited)]


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
