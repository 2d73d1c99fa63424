"""Step 3 of 7: what the identifying attributes of an instance held.

One quick pass before the walk, so that a description that stands before the name is cleaned with the name known. The
free text cleaner (free_text.py) takes out what is known, the second look (residue.py) proves that it is gone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydicom.charset import convert_encodings
from pydicom.valuerep import PersonName

from gateway.deid.replace import words_of
from gateway.deid.romanize import romanized
from gateway.deid.values import dictionary_vrs, texts, vr_of
from gateway.deid.vocabulary import fold, load_vocabulary, spelled

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from gateway.deid.tables import IdentifierKind, Tables
    from gateway.deid.values import Element

_MIN_LETTERS = 3
_MIN_OTHER = 2  # a name of two Kanji or Hangul is a whole name
_MIN_PLACE = 4  # a word of an address or of an institution's name
_MIN_CODE = 2
_PREFIX = 3  # PS3.5 6.2.1: family, given and middle name, then prefix and suffix
_CHARACTER_SET = 0x00080005
_SPACELESS = re.compile("[\u0e00-\u0e7f\u2e80-\U0010ffff]")
_WORD = re.compile(r"\w+", re.UNICODE)
_LETTERS = re.compile(r"[^\W\d_]+")
_PARTS = re.compile(r"[,;\n\r^=\\]+")
_NO_NAMES = frozenset(
    {"md", "phd", "jr", "ii", "iii", "iv", "msc", "bsc", "mba", "frcr", "facr", "esq", "med", "dipl", "ing"}
)
_FOR_CLEANING_ONLY = frozenset({"place", "device"})


@dataclass(slots=True)
class Identifiers:
    """What was found in the identifying attributes. Identifying: never leaves the worker, never in a repr.

    Attributes:
        strings: What the residue check searches for.
        encodings: Python codecs in which the header could have written it.
        words: Words of names, folded: they go from free text wherever they stand.
        places: Words of addresses, places and devices that are no ordinary ones, folded.
        scripts: Names in scripts without spaces between words, folded.
        codes: Identifiers and telephone numbers as letters and digits alone, folded.
        phrases: Addresses, and names with particles, as a kind and folded words, by the first of them.
        terms: Words of the standard, upper case: alone they prove nothing, whoever is called so.
    """

    strings: set[str] = field(default_factory=set, repr=False)
    encodings: set[str] = field(default_factory=set, repr=False)
    words: set[str] = field(default_factory=set, repr=False)
    places: set[str] = field(default_factory=set, repr=False)
    scripts: set[str] = field(default_factory=set, repr=False)
    codes: set[str] = field(default_factory=set, repr=False)
    phrases: dict[str, set[tuple[str, tuple[str, ...]]]] = field(default_factory=dict, repr=False)
    terms: frozenset[str] = field(default=frozenset(), repr=False)
    _seen: set[tuple[object, ...]] = field(default_factory=set, repr=False)

    @classmethod
    def of(cls, dataset: Dataset, tables: Tables) -> Identifiers:
        """Those of a whole instance, at every depth."""
        found = cls(terms=tables.terms)
        found._gather(dataset, tables)
        return found

    def _gather(self, source: Dataset, tables: Tables) -> None:
        kinds, codecs = tables.identifiers, None
        for tag, element in source._dict.items():  # noqa: SLF001 - a Dataset converts what it hands out
            vr = element.VR
            if vr is None or vr == "UN" or len(vr) > 2:
                vr = vr_of(element, dictionary_vrs(int(tag)))
            if vr == "SQ":
                try:
                    items: Any = source[tag].value if element.is_raw else element.value
                except Exception:  # noqa: BLE001, S112 - unreadable: the walk removes it
                    continue
                for item in items or ():
                    self._gather(item, tables)
            elif vr == "PN" or tag in kinds:
                codecs = codecs or _codecs(source)
                self._collect(element, vr or "UN", kinds.get(tag, "name"), codecs)

    def collect(self, source: Dataset, tag: int, kind: IdentifierKind | str) -> None:
        """Note the values of one element."""
        element = source.get_item(tag)
        self._collect(element, element.VR or "UN", kind, _codecs(source))

    def _collect(self, element: Element, vr: str, kind: str, codecs: list[str]) -> None:
        value: Any = element.value
        if isinstance(value, bytes):
            key = (kind, value, *codecs)
            if not value or key in self._seen:  # the same people and numbers stand in many items
                return
            self._seen.add(key)
            self.encodings.update(codecs)
            try:
                value = words_of(element, vr, codecs)
            except Exception:  # noqa: BLE001 - undecodable: its bytes as they are
                value = texts(element)
        else:
            self.encodings.update(codecs)
        for part in value if isinstance(value, (list, tuple)) or hasattr(value, "insert") else [value]:
            self._note(part, kind)

    def _note(self, value: object, kind: str) -> None:
        text = str(value or "").strip(" \0^=")
        if not text:
            return
        if kind == "name" or isinstance(value, PersonName):
            self._name(text)
        elif kind == "id":
            self._code(text)
        elif kind in {"text", *_FOR_CLEANING_ONLY}:
            self._code(text)
            if kind != "device":
                self._place(text)
        if kind == "date" and len(text) == 8:
            year, month, day = text[:4], text[4:6], text[6:]
            self.strings.update(
                f"{a}{s}{b}{s}{c}"
                for s in "-./"
                for a, b, c in ((year, month, day), (day, month, year), (month, day, year))
            )
        if kind not in _FOR_CLEANING_ONLY:
            self.strings.add(text)

    def _name(self, text: str) -> None:
        words = load_vocabulary()
        for group in text.split("="):
            for place, component in enumerate(group.split("^")):
                parts = _WORD.findall(component.replace("_", " "))
                for word in parts:
                    folded = fold(word)
                    joins = folded in words.particles or folded in words.titles or folded in _NO_NAMES
                    # A name may be no more than "Ben"; as a prefix, a suffix or a part it is none.
                    if not (joins and (place >= _PREFIX or len(parts) > 1)):
                        self._word(word, folded)
                phrase = tuple(_LETTERS.findall(fold(component))) if len(parts) > 1 else ()
                if len(phrase) > 1 and not words.particles.isdisjoint(phrase):
                    self.phrases.setdefault(phrase[0], set()).add(("name", phrase))
            written = [part for part in group.split("^")[:3] if part]
            if _spaceless(group) and len(written) > 1:
                self.scripts |= {fold("".join(written)), fold("".join(reversed(written)))}

    def _word(self, word: str, folded: str) -> None:
        self.strings.add(word)
        if _spaceless(word):
            self.scripts.add(folded)
            return
        forms = (folded,) if word.isascii() else (folded, spelled(word), *romanized(word))
        self.words.update(part for form in forms for part in _LETTERS.findall(form))
        if any(letter.isdigit() for letter in word):
            self._code(word)

    def _code(self, text: str) -> None:
        code = "".join(letter for letter in fold(text) if letter.isalnum())
        if len(code) >= _MIN_CODE and any(letter.isdigit() for letter in code):
            self.codes.add(code)
            if len(code) > 9 and code.isdigit():
                self.codes.add(code[-8:])  # a telephone number without its country's or town's prefix
        elif len(code) >= _MIN_LETTERS and code.isalpha() and not load_vocabulary().is_word(code):
            self.places.add(code)

    def _place(self, text: str) -> None:
        known = load_vocabulary()
        for part in _PARTS.split(text):
            for form in {fold(part), spelled(part)}:
                if _spaceless(form):
                    self.scripts.add(form.strip())
                    continue
                words = tuple(_LETTERS.findall(form))
                if len(words) > 1:
                    self.phrases.setdefault(words[0], set()).add(("address", words))
                self.places.update(word for word in words if len(word) >= _MIN_PLACE and not known.is_word(word))

    def needles(self) -> list[str]:
        """Those long enough to prove something, lower case."""
        return sorted(
            {
                text.lower()
                for text in self.strings
                if len(text) >= (_MIN_LETTERS if text.isascii() else _MIN_OTHER) and text.upper() not in self.terms
            }
        )


def _spaceless(text: str) -> bool:
    """Whether a text is written in a script without spaces between words (Kana, Kanji, Hangul, Thai)."""
    return not text.isascii() and _SPACELESS.search(text) is not None


def _codecs(dataset: Dataset) -> list[str]:
    """Python codecs of the text in a data set: as it was read, as it declares, or as the one that it stands in does."""
    codecs = dataset.original_character_set
    if not codecs and _CHARACTER_SET in dataset:
        codecs = convert_encodings(texts(dataset.get_item(_CHARACTER_SET)))
    codecs = codecs or dataset._parent_encoding  # noqa: SLF001 - it has no other name
    return [codecs] if isinstance(codecs, str) else [*codecs]
