"""Step 3 of 7: which rule an attribute has.

The site's own rules first, then Table E.1-1 under the policy's options, then the allow-list, then the Value
Representation. The book lists itself: what is signed, printed and generated into the documents is what is done.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from pydicom._dicom_dict import DicomDictionary

from gateway.deid import options
from gateway.deid.options import Decision, decide
from gateway.deid.rules import (
    AccessionStandIn,
    CleanText,
    DeviceStandIn,
    Dummy,
    Empty,
    Keep,
    KeepOverlay,
    NewUid,
    Pseudonym,
    Recurse,
    Remove,
    Retain,
    Rule,
)
from gateway.deid.tables import BINARY_VRS
from gateway.deid.technical import KeepTechnical
from gateway.deid.time_rules import CapAge, KeepDate, ShiftDate
from gateway.deid.types import OPTIONAL
from gateway.deid.values import dictionary_vrs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.deid.policy import DeidPolicy
    from gateway.deid.tables import Tables

PRIVATE = Remove("private", "an attribute of a vendor's own")
OVERLAY = Remove("overlay", "an overlay plane can hold drawn text")
OVERLAY_DATA = KeepOverlay()
CURVE = Remove("curve", "retired curve data")
GROUP_LENGTH = Remove("group_length", "retired, and wrong after any change")
NOT_IN_OBJECTS = Remove("removed", "its group has no place in a stored object")
UNKNOWN = Remove("unlisted", "the data dictionary does not know the attribute")
CONTRADICTION = Remove("unlisted", "its Value Representation is not one that the attribute can have")
FREE_TEXT = Remove("unlisted", "free text, a name or a date")
OPAQUE = Remove("unlisted", "opaque bytes")

_REMOVE, _EMPTY, _DUMMY, _UID, _RECURSE = Remove(), Empty(), Dummy(), NewUid(), Recurse()
_FIRST_OBJECT_GROUP = 0x0008  # below: command, file meta, directory (PS3.5 7.1)
_DATES = frozenset({"DA", "DT", "TM"})
_TEXTS = frozenset({"LO", "LT", "SH", "ST", "UC", "UT"})
_PATIENT_NAME, _PATIENT_ID, _ACCESSION, _TIMEZONE = 0x00100010, 0x00100020, 0x00080050, 0x00080201
_CHARACTER_SET = 0x00080005
_CODE_PARTS = (0x00080100, 0x00080102, 0x00080104, 0x00080119)
"""Code Value, Coding Scheme Designator, Code Meaning, Long Code Value."""
_OVERLAY_DATA, _LAST_OVERLAY = 0x3000, 0x601E
_UID_SHAPE = re.compile(r"[0-9.]{0,64}")
_TIMEZONE_SHAPE = re.compile(r"|[+-](0\d|1[0-4])[0-5]\d")
_DUMMY_WHERE_TYPE_1 = {1: "D", 2: "Z", 3: "X"}


_SAFE_PRIVATE = (
    "Kept if Table E.3.10-1 lists it under the creator that reserved its block in the same data set; its text is "
    "kept where it is technical. All others: " + PRIVATE.describe()
)
_GENERAL: dict[str, Rule] = {
    "group lengths": GROUP_LENGTH,
    "groups below 0008": NOT_IN_OBJECTS,
    "attributes that the data dictionary does not know": UNKNOWN,
    "attributes whose Value Representation contradicts the data dictionary": CONTRADICTION,
}


class Listed(NamedTuple):
    """One line of the rule book, for people.

    Attributes:
        tag: ``(gggg,eeee)``, a pattern of it, or words for what has no tag of its own.
        name: The attribute's name.
        code: The action code of Table E.1-1a.
        source: Who says so: ``own rule``, ``Table E.1-1``, ``option 113105``, ``allow-list``, ``VR LO``, ``gateway``.
        sentence: What is done.
    """

    tag: str
    name: str
    code: str
    source: str
    sentence: str


class Rulebook:
    """The rules of one policy, made once."""

    def __init__(self, tables: Tables, policy: DeidPolicy) -> None:
        self._tables = tables
        self._policy = policy
        self.options = frozenset(policy.options)
        self._types = tables.types
        self.keeps_overlays = options.CLEAN_GRAPHICS in self.options and policy.pixels.look
        self._decisions = {
            int(row.tag, 16): decide(row, self.options)
            for row in tables.profile
            if row.tag != "PRIVATE" and "x" not in row.tag
        }
        self._basic = {
            int(row.tag, 16): row.basic for row in tables.profile if row.tag != "PRIVATE" and "x" not in row.tag
        }
        self._by_check = {
            check: Keep(check, tables.terms, Remove("unlisted", "its value is not what it should be"))
            for _, check in tables.unlisted.values()
        }
        self._retained = frozenset(tag for tag, decision in self._decisions.items() if decision.option)
        self._describes = options.CLEAN_DESCRIPTORS in self.options
        self._code_parts = {tag: self._of_code(tag) for tag in _CODE_PARTS}
        self._made: dict[tuple[int, str, int], Rule] = {}
        self._own: dict[int, Rule] = {}
        for own in policy.rules:
            vr = dictionary_vrs(own.number)[0] if dictionary_vrs(own.number) else "UN"
            self._own[own.number] = self._of_site(own.number, own.action, vr)

    def rule(self, tag: int, vr: str | None, known: tuple[str, ...], iod: str | None = None, parent: int = 0) -> Rule:
        """The rule of an attribute.

        Args:
            tag: The attribute.
            vr: Its VR; None if it declares one that it cannot have.
            known: The VRs that it may have.
            iod: Of the instance; None if its SOP class is unknown.
            parent: Tag of the sequence in whose item it stands; 0 at the top.
        """
        group = tag >> 16
        if group & 1:
            return PRIVATE
        if tag & 0xFFFF == 0:
            return GROUP_LENGTH
        if group & 0xFF00 == 0x6000:
            return self._overlay(tag, vr) if not parent and group <= _LAST_OVERLAY else OVERLAY
        if group & 0xFF00 == 0x5000:
            return CURVE
        if group < _FIRST_OBJECT_GROUP:
            return NOT_IN_OBJECTS
        if (own := self._own.get(tag)) is not None and vr is not None:
            return own
        if tag in (_PATIENT_ID, _PATIENT_NAME) and not parent and vr is not None:
            return Pseudonym() if self._policy.patient == "pseudonym" else _EMPTY
        if tag not in self._decisions and not known:
            return UNKNOWN
        if vr is None and tag not in self._decisions:
            return CONTRADICTION
        if tag in _CODE_PARTS and vr is not None and (self._describes or parent in self._retained):
            return self._code_parts[tag]
        key = (tag, vr or known[0], self._types.of(tag, iod, parent))
        if (made := self._made.get(key)) is None:
            made = self._made[key] = self._make(*key, contradictory=vr is None)
        return made

    def _make(self, tag: int, vr: str, kind: int, *, contradictory: bool = False) -> Rule:
        decision = self._decisions.get(tag)
        if decision is None:
            return self._unlisted(tag, vr, kind)
        loss = self._loss(tag, self._basic[tag], kind)
        if tag == _ACCESSION and self._policy.accession == "pseudonym":
            return AccessionStandIn()
        if contradictory:
            return loss
        if decision.code == "C":
            return self._cleaned(tag, vr, loss)
        return self._kept(tag, vr, loss) if decision.code == "K" else loss

    def _overlay(self, tag: int, vr: str | None) -> Rule:
        """Overlay planes stay where text in them can be looked for (overlays.py); what is said of them is cleaned."""
        if not self.keeps_overlays or vr is None:
            return OVERLAY
        if tag & 0xFFFF == _OVERLAY_DATA:
            return OVERLAY_DATA
        if vr in _TEXTS:
            return CleanText(OVERLAY)
        action, check = self._tables.unlisted.get(vr, ("remove", ""))
        return Keep(check, self._tables.terms, OVERLAY) if action == "keep" else OVERLAY

    def _loss(self, tag: int, code: str, kind: int) -> Rule:
        """Codes with a choice go by the attribute's type (PS3.15 Table E.1-1a): 1 dummy, 2 empty, 3 removed."""
        sequence = "SQ" in dictionary_vrs(tag)
        if code == "X/Z/U*" or (code == "D" and sequence):
            return _RECURSE  # "D" on a sequence: the rules applied to its items make the dummy
        if code == "U":
            return _UID
        wanted = _DUMMY_WHERE_TYPE_1[kind] if "/" in code else code
        if wanted not in code.split("/"):
            wanted = "Z" if "Z" in code else "D"
        if wanted == "Z" and kind == 1 and not sequence:
            wanted = "D"  # Z allows a value (Table E.1-1a), and type 1 asks for one
        if code == "X" and not (sequence and kind == 1) and not set(dictionary_vrs(tag)) & BINARY_VRS:
            wanted = _DUMMY_WHERE_TYPE_1[kind]  # a plain X would break the IOD; nothing of the value stays
        if wanted == "D":
            return _RECURSE if sequence else _DUMMY
        return _EMPTY if wanted == "Z" else _REMOVE

    def _cleaned(self, tag: int, vr: str, loss: Rule) -> Rule:
        if vr in _DATES:
            return ShiftDate(loss)
        if tag == _TIMEZONE:
            return Keep("", frozenset(), loss, _TIMEZONE_SHAPE)
        if vr == "SQ":
            return _RECURSE
        if vr == "AE":
            return DeviceStandIn()
        return CleanText(loss) if vr in _TEXTS else loss

    def _kept(self, tag: int, vr: str, loss: Rule) -> Rule:
        if vr in _DATES:
            return KeepDate(loss)
        if tag == _TIMEZONE:
            return Keep("", frozenset(), loss, _TIMEZONE_SHAPE)
        if vr == "SQ":
            return _RECURSE  # K on a sequence is "cleaned" (Table E.1-1a)
        if vr == "UI":
            return Keep("", frozenset(), _UID, _UID_SHAPE)
        if vr == "AS":
            return CapAge(self._policy.age_cap, loss)
        if vr in _TEXTS:
            return Retain(CleanText(loss))
        if vr == "AE":
            return Retain(loss)
        action, check = self._tables.unlisted.get(vr, ("remove", ""))
        return Keep(check, self._tables.terms, loss) if action == "keep" else loss

    def _unlisted(self, tag: int, vr: str, kind: int) -> Rule:
        loss = self._unlisted_loss(tag, kind)
        otherwise = CleanText(loss) if vr in _TEXTS and self._policy.text == "clean" else loss
        if (kept := self._tables.keep.get(tag)) is not None:
            if kept.check == "never":
                return loss
            if kept.check in {"text", "device"}:
                return KeepTechnical(1 if kept.check == "device" else 0, otherwise, kept.pattern)
            return Keep("", self._tables.terms, otherwise, kept.pattern)
        if vr in _DATES and options.FULL_DATES in self.options:
            return KeepDate(loss)
        if vr in _DATES and options.MODIFIED_DATES in self.options:
            return ShiftDate(loss)
        if vr == "AS" and options.PATIENT_CHARACTERISTICS in self.options:
            return CapAge(self._policy.age_cap, loss)
        if vr == "UI" and options.RETAIN_UIDS in self.options:
            return Keep("", frozenset(), _UID, _UID_SHAPE)
        action, check = self._tables.unlisted.get(vr, ("remove", ""))
        if action == "keep":
            return self._by_check[check] if kind == OPTIONAL else Keep(check, self._tables.terms, loss)
        if action == "uid":
            return _UID
        return _RECURSE if action == "recurse" else otherwise

    def _of_code(self, tag: int) -> Rule:
        """For a code in a sequence that an option keeps: a site's own codes are a description, and cleaned as one."""
        rule = self._unlisted(tag, dictionary_vrs(tag)[0], 1)
        if isinstance(rule, (Keep, KeepTechnical)):
            return replace(rule, otherwise=CleanText(rule.otherwise))
        return CleanText(rule)

    def _unlisted_loss(self, tag: int, kind: int) -> Rule:
        """How an attribute that the table does not list is lost: the object stays valid where its type asks for it."""
        if set(dictionary_vrs(tag)) & BINARY_VRS:
            return OPAQUE
        if tag == _CHARACTER_SET:
            return _REMOVE  # a dummy would name a character set that there is not
        by_type: dict[int, Rule] = {1: _DUMMY, 2: _EMPTY}
        return by_type.get(kind, FREE_TEXT)

    def _of_site(self, tag: int, action: str, vr: str) -> Rule:
        if vr == "SQ" and action in ("keep", "clean", "dummy"):
            return _RECURSE
        if action == "keep":
            return self._kept(tag, vr, _REMOVE)
        if action == "clean":
            return self._cleaned(tag, vr, _REMOVE)
        return {"remove": _REMOVE, "empty": _EMPTY, "dummy": _DUMMY, "uid": _UID}[action]

    def describe(self) -> Iterator[Listed]:
        """Every rule, in the order in which they are asked."""
        for own in self._policy.rules:
            name = DicomDictionary.get(own.number, ("", "", own.tag))[2]
            made = self._own[own.number]
            yield Listed(own.tag, name, made.code, "own rule", f"{made.describe()} Reason: {own.why}")
        for row in self._tables.profile:
            yield self._of_row(row.tag, row.name, decide(row, self.options))
        for tag, kept in self._tables.keep.items():
            vr = dictionary_vrs(tag)[0]
            made = self._unlisted(tag, vr, self._types.of(tag, None, 0))
            yield Listed(_shown(f"{tag:08X}"), kept.name, made.code, "allow-list", made.describe())
        for vr in self._tables.unlisted:
            made = _RECURSE if vr == "SQ" else OPAQUE if vr in BINARY_VRS else self._unlisted(0, vr, OPTIONAL)
            name = f"every other attribute of VR {vr}"
            yield Listed("any", name, made.code, f"VR {vr}", made.describe())
        for name, made in _GENERAL.items():
            yield Listed("any", name, made.code, "gateway", made.describe())

    def _of_row(self, tag: str, name: str, decision: Decision) -> Listed:
        source = f"option {decision.option}" if decision.option else "Table E.1-1"
        if tag == "PRIVATE":
            sentence = _SAFE_PRIVATE if decision.code == "C" else PRIVATE.describe()
        elif "x" in tag:
            overlay = self._overlay(int(tag.replace("xx", "00"), 16), "OW" if tag.endswith("3000") else "LT")
            sentence = (CURVE if tag.startswith("50") else overlay).describe()
        else:
            number = int(tag, 16)
            known = dictionary_vrs(number)
            if number < _FIRST_OBJECT_GROUP << 16:
                sentence = NOT_IN_OBJECTS.describe()
            else:
                sentence = self._by_types(number, known[0] if known else "UN")
        return Listed(_shown(tag), name, decision.code, source, sentence)

    def _by_types(self, tag: int, vr: str) -> str:
        """One sentence for each type that the attribute has somewhere, where they differ."""
        if tag in (_PATIENT_ID, _PATIENT_NAME):
            return self.rule(tag, vr, (vr,)).describe()
        sentences = {kind: self._make(tag, vr, kind).describe() for kind in (1, 2, OPTIONAL)}
        if len(set(sentences.values())) == 1:
            return sentences[OPTIONAL]
        there = sorted(self._types.somewhere(tag))
        if len({sentences[kind] for kind in there}) == 1:
            return sentences[there[0]]
        return " ".join(f"Type {kind}: {sentences[kind]}" for kind in there)


def _shown(tag: str) -> str:
    return f"({tag[:4]},{tag[4:]})" if len(tag) == 8 else tag.lower()
