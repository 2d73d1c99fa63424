"""Step 3 of 7: which rule an attribute has: Table E.1-1 first, then the allow-list, then its Value Representation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.deid.rules import Dummy, Empty, Keep, NewUid, Recurse, Remove, Rule
from gateway.deid.tables import BINARY_VRS
from gateway.deid.values import dictionary_vrs

if TYPE_CHECKING:
    from gateway.deid.tables import BasicCode, Tables

PRIVATE = Remove("private", "an attribute of a vendor's own")
OVERLAY = Remove("overlay", "an overlay plane can hold drawn text")
CURVE = Remove("curve", "retired curve data")
GROUP_LENGTH = Remove("group_length", "retired, and wrong after any change")
NOT_IN_OBJECTS = Remove("removed", "its group has no place in a stored object")
UNKNOWN = Remove("unlisted", "the data dictionary does not know the attribute")
CONTRADICTION = Remove("unlisted", "its Value Representation is not one that the attribute can have")

FREE_TEXT = Remove("unlisted", "free text, a name or a date")

_REMOVE = Remove()
_EMPTY = Empty()
_DUMMY = Dummy()
_UID = NewUid()
_RECURSE = Recurse()
_FIRST_OBJECT_GROUP = 0x0008  # below: command, file meta, directory (PS3.5 7.1)


class Rulebook:
    """The rules of one policy, made once."""

    def __init__(self, tables: Tables) -> None:
        self._types = tables.types
        self._listed = {
            int(row.tag, 16): self._basic(int(row.tag, 16), row.basic)
            for row in tables.profile
            if row.tag != "PRIVATE" and "x" not in row.tag
        }
        self._keep: dict[int, Rule] = {
            tag: Keep("", tables.terms, self._unlisted_loss(tag), kept.pattern) for tag, kept in tables.keep.items()
        }
        self._unlisted = tables.unlisted
        self._by_check = {
            check: Keep(check, tables.terms, Remove("unlisted", "its value is not what it should be"))
            for _, check in tables.unlisted.values()
        }

    def rule(self, tag: int, vr: str | None, known: tuple[str, ...]) -> Rule:
        """The rule of an attribute whose VR is ``vr`` (None: contradictory) and may be one of ``known``."""
        group = tag >> 16
        if group & 1:
            return PRIVATE
        if tag & 0xFFFF == 0:
            return GROUP_LENGTH
        if group & 0xFF00 == 0x6000:
            return OVERLAY
        if group & 0xFF00 == 0x5000:
            return CURVE
        if group < _FIRST_OBJECT_GROUP:
            return NOT_IN_OBJECTS
        if (listed := self._listed.get(tag)) is not None:
            return listed
        if not known:
            return UNKNOWN
        if vr is None:
            return CONTRADICTION
        if (kept := self._keep.get(tag)) is not None:
            return kept
        action, check = self._unlisted.get(vr, ("remove", ""))
        if action == "keep":
            return self._by_check[check]
        if action == "uid":
            return _UID
        return _RECURSE if action == "recurse" else self._unlisted_loss(tag)

    def _basic(self, tag: int, code: BasicCode) -> Rule:
        """Codes with a choice go by the attribute's type (PS3.15 Table E.1-1a): 1 dummy, 2 empty, 3 removed."""
        sequence = "SQ" in dictionary_vrs(tag)
        if code == "X/Z/U*" or (code == "D" and sequence):
            return _RECURSE  # "D" on a sequence: the rules applied to its items make the dummy
        if code == "U":
            return _UID
        wanted = {0: "X", 1: "D", 2: "Z"}[self._types.get(tag, 0)] if "/" in code else code
        if wanted not in code.split("/"):
            wanted = "Z" if "Z" in code else "D"
        if wanted == "D":
            return _RECURSE if sequence else _DUMMY
        return _EMPTY if wanted == "Z" else _REMOVE

    def _unlisted_loss(self, tag: int) -> Rule:
        """How an attribute that the table does not list is lost: the object stays valid where its type asks for it."""
        if set(dictionary_vrs(tag)) & BINARY_VRS:
            return Remove("unlisted", "opaque bytes")
        by_type: dict[int, Rule] = {1: _DUMMY, 2: _EMPTY}
        return by_type.get(self._types.get(tag, 0), FREE_TEXT)
