"""Step 3 of 7: what the identifying attributes of an instance held.

One quick pass before the walk, so that a description that stands before the name is cleaned with the name known. The
free text cleaner (free_text.py) takes out what is known, the second look (residue.py) proves that it is gone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydicom.charset import convert_encodings
from pydicom.valuerep import PersonName

from gateway.deid.values import dictionary_vrs, texts, vr_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from gateway.deid.tables import IdentifierKind, Tables

_MIN_LETTERS = 3
_MIN_OTHER = 2  # a name of two Kanji or Hangul is a whole name
_CHARACTER_SET = 0x00080005
_WORD = re.compile(r"\w+", re.UNICODE)


@dataclass(slots=True)
class Identifiers:
    """What was found in the identifying attributes. Identifying: never leaves the worker, never in a repr."""

    strings: set[str] = field(default_factory=set, repr=False)
    encodings: set[str] = field(default_factory=set, repr=False)

    @classmethod
    def of(cls, dataset: Dataset, tables: Tables) -> Identifiers:
        """Those of a whole instance, at every depth."""
        found = cls()
        found._gather(dataset, tables)
        return found

    def _gather(self, source: Dataset, tables: Tables) -> None:
        for tag in source.keys():  # noqa: SIM118 - iterating a Dataset itself converts every element
            number = int(tag)
            vr = vr_of(source.get_item(tag), dictionary_vrs(number))
            if vr == "SQ":
                try:
                    items = source[tag].value
                except Exception:  # noqa: BLE001, S112 - unreadable: the walk removes it
                    continue
                for item in items or ():
                    self._gather(item, tables)
            elif vr == "PN" or number in tables.identifiers:
                self.collect(source, number, tables.identifiers.get(number, "name"))

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
