"""Step 3 of 7: what can be done to one element. Each rule says in a sentence what it does.

The action codes are those of PS3.15 Table E.1-1a: X remove, Z zero length, D dummy value, U new UID, K keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from typing_extensions import override

from gateway.deid.values import OTHER_TERM, dummy, empty, fits, is_empty, is_term, texts

if TYPE_CHECKING:
    import re

    from gateway.deid.tables import Check
    from gateway.deid.uids import StandIns
    from gateway.deid.values import Element


class Found(NamedTuple):
    """One element on the walk, and the stand-ins of the tenant whose it is."""

    element: Element
    tag: int
    vr: str
    stand_ins: StandIns


class Rule(Protocol):
    """What is done to one element that is not a sequence."""

    @property
    def action(self) -> str:
        """The name under which the report counts it."""

    def describe(self) -> str:
        """One sentence for a person."""

    def apply(self, found: Found) -> Element | None:
        """The element to put in its place: the same one if nothing changes, None to remove it."""


@dataclass(frozen=True, slots=True)
class Remove(Rule):
    """X."""

    action: str = "removed"
    why: str = ""

    @override
    def describe(self) -> str:
        return f"Removed{': ' + self.why if self.why else ''}."

    @override
    def apply(self, found: Found) -> Element | None:
        return None


@dataclass(frozen=True, slots=True)
class Empty(Rule):
    """Z."""

    action: str = "emptied"

    @override
    def describe(self) -> str:
        return "Replaced by a value of zero length."

    @override
    def apply(self, found: Found) -> Element | None:
        return found.element if is_empty(found.element) else empty(found.tag, found.vr)


@dataclass(frozen=True, slots=True)
class NewUid(Rule):
    """U."""

    action: str = "uid"

    @override
    def describe(self) -> str:
        return "Replaced by a new UID, the same one wherever the old one stands; a UID of the standard itself is kept."

    @override
    def apply(self, found: Found) -> Element | None:
        old = texts(found.element)
        new = [found.stand_ins.uid(uid) for uid in old]
        if new == old:
            return found.element
        return DataElement(found.tag, "UI", new[0] if len(new) == 1 else MultiValue(str, new))


@dataclass(frozen=True, slots=True)
class Dummy(Rule):
    """D."""

    action: str = "replaced"

    @override
    def describe(self) -> str:
        return "Replaced by a dummy value that fits its Value Representation."

    @override
    def apply(self, found: Found) -> Element | None:
        if found.vr == "UI":
            return NewUid().apply(found)
        return found.element if is_empty(found.element) else dummy(found.tag, found.vr)


@dataclass(frozen=True, slots=True)
class Keep(Rule):
    """K: kept if the value is what its attribute promises; if not, ``otherwise`` decides."""

    check: Check
    terms: frozenset[str]
    otherwise: Rule
    pattern: re.Pattern[str] | None = None
    action: str = "kept"

    @override
    def describe(self) -> str:
        needs = {"": "", "number": "it is a number", "length": "its length fits", "term": "its words are known terms"}
        need = "it matches its pattern" if self.pattern else needs[self.check]
        return f"Kept if {need}. Otherwise: {self.otherwise.describe()}" if need else "Kept."

    @override
    def apply(self, found: Found) -> Element | None:
        if self.pattern is not None:
            fit = all(self.pattern.fullmatch(part) for part in texts(found.element))
        else:
            fit = fits(found.element, found.vr, found.tag, self.check, self.terms)
        if fit:
            return found.element
        if self.check == "term" and len(parts := texts(found.element)) > 1:
            # Image Type and the like: the place of a value matters, so an unknown one is replaced where it stands.
            known = [part if is_term(part, self.terms) else OTHER_TERM for part in parts]
            return DataElement(found.tag, found.vr, known)
        return self.otherwise.apply(found)


@dataclass(frozen=True, slots=True)
class Recurse(Rule):
    """For sequences: the items stay, and every element in them has its own rule."""

    action: str = "kept"

    @override
    def describe(self) -> str:
        return "The items are kept; the same rules apply to every element in them."

    @override
    def apply(self, found: Found) -> Element | None:
        return None  # the walk follows sequences itself, so this is none, whatever its attribute should be


@dataclass(frozen=True, slots=True)
class Pseudonym(Rule):
    """Z for Patient ID and Patient's Name, with the value of non-zero length that Z allows."""

    value: str
    action: str = "replaced"

    @override
    def describe(self) -> str:
        return "Replaced by the patient's pseudonym, a keyed hash of Patient ID and its issuer."

    @override
    def apply(self, found: Found) -> Element | None:
        return found.element if is_empty(found.element) else DataElement(found.tag, found.vr, self.value)
