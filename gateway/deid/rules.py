"""Step 3 of 7: what can be done to one element. Each rule says in a sentence what it does.

The action codes are those of PS3.15 Table E.1-1a: X remove, Z zero length, D dummy value, U new UID, K keep, C clean.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pydicom.dataelem import DataElement
from typing_extensions import override

from gateway.deid.replace import emptied, with_ascii, with_words, words_of
from gateway.deid.values import DUMMIES, OTHER_TERM, fits, is_empty, is_term, texts

if TYPE_CHECKING:
    import re

    from gateway.deid.free_text import Cleaned
    from gateway.deid.instance import Instance
    from gateway.deid.tables import Check
    from gateway.deid.values import Element

_LONGEST = {"AE": 16, "CS": 16, "LO": 64, "LT": 10240, "PN": 64, "SH": 16, "ST": 1024}
_CODED = frozenset({"AE", "CS"})
_MOST_REMEMBERED = 4096


class Rule(Protocol):
    """What is done to one element that is not a sequence."""

    @property
    def action(self) -> str:
        """The name under which the report counts it."""

    @property
    def code(self) -> str:
        """The action code of Table E.1-1a that it carries out."""

    def describe(self) -> str:
        """One sentence for a person."""

    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        """The element to put in its place: the same one if nothing changes, None to remove it."""


@dataclass(frozen=True, slots=True)
class Remove(Rule):
    """X."""

    action: str = "removed"
    why: str = ""
    code: str = "X"

    @override
    def describe(self) -> str:
        return f"Removed{': ' + self.why if self.why else ''}."

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        return None


@dataclass(frozen=True, slots=True)
class Empty(Rule):
    """Z."""

    action: str = "emptied"
    code: str = "Z"

    @override
    def describe(self) -> str:
        return "Replaced by a value of zero length."

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        return element if is_empty(element) else emptied(element, vr)


@dataclass(frozen=True, slots=True)
class NewUid(Rule):
    """U."""

    action: str = "uid"
    code: str = "U"

    @override
    def describe(self) -> str:
        return "Replaced by a new UID, the same one wherever the old one stands; a UID of the standard itself is kept."

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        old = texts(element)
        new = [instance.stand_ins.uid(uid) for uid in old]
        return element if new == old else with_ascii(element, "UI", "\\".join(new))


@dataclass(frozen=True, slots=True)
class Dummy(Rule):
    """D."""

    action: str = "replaced"
    code: str = "D"

    @override
    def describe(self) -> str:
        return "Replaced by a dummy value that fits its Value Representation."

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        if vr == "UI":
            return NewUid().apply(element, vr, instance)
        if is_empty(element):
            return element
        value = DUMMIES[vr]
        return with_ascii(element, vr, value) if isinstance(value, str) else DataElement(element.tag, vr, value)


@dataclass(frozen=True, slots=True)
class Keep(Rule):
    """K: kept if the value is what its attribute promises; if not, ``otherwise`` decides."""

    check: Check
    terms: frozenset[str]
    otherwise: Rule
    pattern: re.Pattern[str] | None = None
    action: str = "kept"
    code: str = "K"
    _seen: set[bytes] = field(default_factory=set, compare=False, repr=False)

    @override
    def describe(self) -> str:
        needs = {"": "", "number": "it is a number", "length": "its length fits", "term": "its words are known terms"}
        need = "it matches its pattern" if self.pattern else needs[self.check]
        return f"Kept if {need}. Otherwise: {self.otherwise.describe()}" if need else "Kept."

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        value = element.value
        if isinstance(value, bytes) and value in self._seen:
            return element
        if self._fits(element, vr):
            if self.check == "term" and isinstance(value, bytes) and len(self._seen) < _MOST_REMEMBERED:
                self._seen.add(value)  # words of the vocabulary, which come in every object; nothing of an instance
            return element
        if self.check == "term" and len(parts := texts(element)) > 1:
            # Image Type and the like: the place of a value matters, so an unknown one is replaced where it stands.
            known = [part if is_term(part, self.terms) else OTHER_TERM for part in parts]
            return with_ascii(element, vr, "\\".join(known))
        return self.otherwise.apply(element, vr, instance)

    def _fits(self, element: Element, vr: str) -> bool:
        if self.pattern is not None:
            return all(self.pattern.fullmatch(part) for part in texts(element))
        return fits(element, vr, int(element.tag), self.check, self.terms)


@dataclass(frozen=True, slots=True)
class Recurse(Rule):
    """For sequences: the items stay, and every element in them has its own rule."""

    action: str = "kept"
    code: str = "C"

    @override
    def describe(self) -> str:
        return "The items are kept; the same rules apply to every element in them."

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        return None  # the walk follows sequences itself, so this is none, whatever its attribute should be


@dataclass(frozen=True, slots=True)
class Pseudonym(Rule):
    """Z for Patient ID and Patient's Name, with the value of non-zero length that Z allows."""

    action: str = "replaced"
    code: str = "Z"

    @override
    def describe(self) -> str:
        return "Replaced by the patient's pseudonym, a keyed hash of Patient ID."

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        if is_empty(element):
            return element
        return emptied(element, vr) if instance.patient is None else with_ascii(element, vr, instance.patient)


@dataclass(frozen=True, slots=True)
class AccessionStandIn(Rule):
    """Z for Accession Number, with the value of non-zero length that Z allows."""

    action: str = "replaced"
    code: str = "Z"

    @override
    def describe(self) -> str:
        return "Replaced by a stand-in, a keyed hash of the number: objects of one order stay together."

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        number = "\\".join(texts(element))
        return with_ascii(element, vr, instance.stand_ins.accession(number)) if number else element


@dataclass(frozen=True, slots=True)
class DeviceStandIn(Rule):
    """C for an AE title: another title, the same for the same device."""

    action: str = "replaced"
    code: str = "C"

    @override
    def describe(self) -> str:
        return "Replaced by a stand-in, a keyed hash of the title: what one device sent stays together."

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        titles = [instance.stand_ins.device(title) for title in texts(element)]
        return with_ascii(element, vr, "\\".join(titles)) if any(titles) else element


@dataclass(frozen=True, slots=True)
class KeepOverlay(Rule):
    """C for overlay data; ``overlays.py`` does the cleaning, once the whole group is at hand."""

    action: str = "cleaned"
    code: str = "C"

    @override
    def describe(self) -> str:
        return "Kept without the text that is found in the drawing; a plane that cannot be looked at goes."

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        return element


@dataclass(frozen=True, slots=True)
class CleanText(Rule):
    """C for text: what identifies is taken out of it, the rest stays; ``otherwise`` if nothing is left."""

    otherwise: Rule
    action: str = "cleaned"
    code: str = "C"

    @override
    def describe(self) -> str:
        return (
            "Names, numbers, dates, addresses and the like are taken out, the rest of the text is kept. "
            f"If nothing is left: {self.otherwise.describe()}"
        )

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        if is_empty(element):
            return element
        done = self._cleaned(element, vr, instance)
        if done is None:
            return self.otherwise.apply(element, vr, instance)
        changed = False
        for cleaned in done:
            for kind, count in cleaned.found.items():
                instance.found[kind] += count
                changed = True
        if not changed:
            return element
        if vr in _CODED or not any(cleaned.text.strip() for cleaned in done):
            return self.otherwise.apply(element, vr, instance)
        return with_words(element, vr, [cleaned.text for cleaned in done])

    @staticmethod
    def _cleaned(element: Element, vr: str, instance: Instance) -> list[Cleaned] | None:
        """Each value; None if they are in no encoding that was declared: then nothing can be said of them."""
        value = element.value
        key = (vr, value, "\\".join(instance.encodings)) if isinstance(value, bytes) else None
        if key is not None and (done := instance.cleaned.get(key)) is not None:
            return done
        try:
            parts = words_of(element, vr, instance.encodings)
        except Exception:  # noqa: BLE001 - whatever a codec raises
            return None
        done = [instance.text.clean(part, instance.known, _LONGEST.get(vr)) for part in parts]
        if key is not None:
            instance.cleaned[key] = done
        return done


@dataclass(frozen=True, slots=True)
class Retain(Rule):
    """K for text: kept as it is, but for what the instance's own identifying attributes held."""

    otherwise: Rule
    action: str = "kept"
    code: str = "K"

    @override
    def describe(self) -> str:
        return f"Kept, unless it holds what identifies the patient. Then: {self.otherwise.describe()}"

    @override
    def apply(self, element: Element, vr: str, instance: Instance) -> Element | None:
        if is_empty(element):
            return element
        try:
            words = " ".join(words_of(element, vr, instance.encodings)).lower()
        except Exception:  # noqa: BLE001 - as for CleanText
            return self.otherwise.apply(element, vr, instance)
        return self.otherwise.apply(element, vr, instance) if instance.holds_known(words) else element
