"""Step 3 of 7: the second look. What the identifying attributes held must be nowhere in what comes out.

It does not ask the rules what they did: it searches the output afresh for every identifier, in every character encoding
that the header could have used. All bytes together come first, which is quick, and nearly always the end of it. Where
something is found, each element is looked at, to tell an identifier from a term, a number or a part of another word.
"""

from __future__ import annotations

import re
from codecs import lookup
from functools import lru_cache
from typing import TYPE_CHECKING

from pydicom._uid_dict import UID_dictionary
from pydicom.charset import encode_string
from pydicom.sequence import Sequence

from gateway.deid.values import is_term, texts
from gateway.ingest.vr import LIKE_ASCII

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydicom.dataset import Dataset

    from gateway.deid.identifiers import Identifiers
    from gateway.deid.tables import Tables
    from gateway.deid.values import Element

_MIN_BYTES_IN_BINARY = 5  # shorter runs occur in lookup tables by chance
_NUMERIC_VRS = frozenset({"DS", "IS"})
_MIN_DIGITS_IN_NUMBERS = 6  # a Patient ID of 512 is not proved by an image of 512 columns
_TEXT_VRS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
_ALWAYS = frozenset({"utf-8", "latin-1"})
_WIDE = re.compile(rb"[!-~]\0[!-~]\0[!-~]")
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u2e80-\U0010ffff]")
"""Scripts without spaces between words: Thai, Kana, Kanji, Hangul."""


def survivors(target: Dataset, identifiers: Identifiers, tables: Tables, written: bytes | None = None) -> list[int]:
    """Tags of the elements of a de-identified object in which an identifier is still to be found.

    Args:
        target: The data set. Its file meta belongs to it.
        identifiers: What the identifying attributes of the input held.
        tables: The terms and the patterns that are no evidence.
        written: The bytes of the header as they were written. Without them the values are searched as they are.
    """
    needles = identifiers.needles()
    if not needles:
        return []
    codecs = frozenset(identifiers.encodings - {""})
    output = b"\n".join(_bytes(element) for _, element in _output(target)) if written is None else written
    suspects = _suspects(output, needles, codecs)
    if not suspects:
        return []
    look = _Look(suspects, codecs, tables)
    return [tag for tag, element in _output(target) if look.finds(tag, element)]


def _suspects(output: bytes, needles: Iterable[str], codecs: frozenset[str]) -> dict[str, set[bytes]]:
    """Identifiers that are in the bytes in some form, if only as a part of another word; and their forms."""
    lowered = output.lower()
    wide = _WIDE.search(lowered) is not None  # most headers hold no text of 16 bits a letter, and need no look for it
    strange = codecs - LIKE_ASCII
    readings: list[str] | None = None
    found = {}
    for needle in needles:
        if needle.isascii() and not strange:
            if needle.encode() in lowered or (wide and _sixteen_bits(needle) in lowered):
                found[needle] = _forms(needle, codecs)
            continue
        forms = _forms(needle, codecs)
        if readings is None:
            readings = [output.decode(codec, "replace").lower() for codec in _known(_ALWAYS | codecs)]
        if any(form in lowered for form in forms) or any(needle in reading for reading in readings):
            found[needle] = forms
    return found


class _Look:
    """A look at single elements, for a few identifiers."""

    def __init__(self, suspects: dict[str, set[bytes]], codecs: frozenset[str], tables: Tables) -> None:
        self._tables = tables
        self._codecs = _known(_ALWAYS | codecs)
        self._forms = {form for forms in suspects.values() for form in forms if len(form) >= _MIN_BYTES_IN_BINARY}
        plain = {needle.encode() for needle in suspects if needle.isascii()}
        self._beside_words = {form for forms in suspects.values() for form in forms} - plain
        self._words = re.compile(
            "|".join(
                re.escape(needle) if _UNSPACED.search(needle) else rf"(?<!\w){re.escape(needle)}(?!\w)"
                for needle in suspects
            )
        )

    def finds(self, tag: int, element: Element) -> bool:
        """Whether an element holds one of them."""
        value = element.value
        if value is None:
            return False
        if not isinstance(value, bytes):
            return self._in_words("\\".join(texts(element)), tag, element.VR)
        lowered = value.lower()
        if element.VR not in _TEXT_VRS:
            return any(form in lowered for form in self._forms)
        if any(form in lowered for form in self._beside_words):
            return True
        readings = [value.decode("ascii")] if value.isascii() else [value.decode(c, "replace") for c in self._codecs]
        return any(self._in_words(reading, tag, element.VR) for reading in readings)

    def _in_words(self, text: str, tag: int, vr: str | None) -> bool:
        kept = self._tables.keep.get(tag)
        pattern = kept.pattern if kept is not None else None
        for part in text.split("\\"):
            value = part.strip(" \0")
            # A term of the standard is no evidence: a patient called Head does not make every HEAD an identifier.
            if vr == "CS" and is_term(value, self._tables.terms):
                continue
            if vr == "UI" and value in UID_dictionary:
                continue
            if pattern is not None and pattern.fullmatch(value) and not value.isdigit():
                continue
            for match in self._words.finditer(value.lower()):
                if vr not in _NUMERIC_VRS or len(match[0]) >= _MIN_DIGITS_IN_NUMBERS:
                    return True
        return False


def _forms(needle: str, codecs: frozenset[str]) -> set[bytes]:
    """An identifier as bytes in small letters: it may stand there in small letters, in capitals, or as names are."""
    if needle.isascii() and codecs <= LIKE_ASCII:
        return {needle.encode(), _sixteen_bits(needle)}
    forms = set()
    for text in (needle, needle.upper(), needle.title()):
        forms |= {text.encode().lower(), text.encode("utf-16-le").lower(), text.encode("utf-16-be").lower()}
        for codec in _known(codecs | {"latin-1"}):
            try:
                forms.add(encode_string(text, [codec]).lower())
            except Exception:  # noqa: BLE001, S112 - a character set that cannot write this identifier cannot hide it
                continue
    return forms - {b""}


def _sixteen_bits(needle: str) -> bytes:
    """ASCII text in UTF-16 of either byte order: what both have in common."""
    return needle.encode("utf-16-le")[:-1]


@lru_cache(maxsize=256)
def _known(codecs: frozenset[str]) -> tuple[str, ...]:
    """Those that Python can decode text with, each once."""
    known = set()
    for codec in codecs:
        try:
            b"-".decode(codec, "replace")
        except (LookupError, UnicodeError):
            continue
        known.add(lookup(codec).name)
    return tuple(sorted(known))


def _bytes(element: Element) -> bytes:
    value = element.value
    if isinstance(value, bytes):
        return value
    return "\\".join(texts(element)).lower().encode("utf-8", "replace") if value is not None else b""


def _output(target: Dataset) -> Iterator[tuple[int, Element]]:
    yield from _elements(target)
    if hasattr(target, "file_meta"):
        yield from _elements(target.file_meta)


def _elements(dataset: Dataset) -> Iterator[tuple[int, Element]]:
    for tag, element in dataset._dict.items():  # noqa: SLF001 - a Dataset converts what it hands out
        value = element.value
        if isinstance(value, Sequence):
            for item in value:
                yield from _elements(item)
        else:
            yield tag, element
