"""Step 3 of 7: private attributes that are known to be safe (PS3.15 E.3.10, Table E.3.10-1).

Who reserved a block says whose its elements are; the reservation counts in its own data set only (PS3.5 7.8.1). So the
creator is looked for at the level at which the element stands, never above: else an element could be passed off as
another vendor's. Opaque bytes are not kept, even where the table has them: among them are pictures that nobody saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag

from gateway.deid.options import RETAIN_UIDS
from gateway.deid.replace import raw_like
from gateway.deid.rules import Keep, NewUid, Recurse, Remove, Rule
from gateway.deid.technical import KeepTechnical
from gateway.deid.time_rules import CapAge
from gateway.deid.values import texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.deid.policy import DeidPolicy
    from gateway.deid.tables import Check, Tables
    from gateway.deid.values import Element
    from gateway.ingest.vr import Elements

_FIRST_BLOCK, _LAST_BLOCK = 0x10, 0xFF
_TEXTS = frozenset({"CS", "LO", "LT", "SH", "ST", "UC", "UT"})
_CHECKS: dict[str, Check] = {"DS": "number", "IS": "number"}
_BYTES_EACH = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
_UNSAFE = Remove("private", "opaque bytes, or a Value Representation other than the table's")


class Safe(NamedTuple):
    """A private element that is known to be safe, as one of the VR that the table gives it."""

    element: Element
    vr: str
    rule: Rule


class SafePrivate:
    """The private elements of one data set that may stay under the Retain Safe Private Option."""

    def __init__(self, tables: Tables, policy: DeidPolicy) -> None:
        self._listed = tables.safe_private
        removed = Remove("private")
        self._rules: dict[str, Rule] = {
            "AS": CapAge(policy.age_cap, removed),
            "SQ": Recurse(),
            "UI": NewUid(),
            **dict.fromkeys(_TEXTS, KeepTechnical(1, removed)),
            **{vr: Keep(check, tables.terms, removed) for vr, check in _CHECKS.items()},
            **dict.fromkeys(_BYTES_EACH, Keep("", tables.terms, removed)),
        }
        if RETAIN_UIDS in policy.options:
            self._rules["UI"] = Keep("", tables.terms, removed)

    def safe(self, elements: Elements, private: Iterable[Element]) -> Iterator[Safe]:
        """Those of one data set.

        Args:
            elements: All elements of the data set.
            private: Its private ones, creators included.
        """
        for element in private:
            tag = int(element.tag)
            block = (tag & 0xFFFF) >> 8
            if not _FIRST_BLOCK <= block <= _LAST_BLOCK:
                continue
            creator = elements.get(BaseTag(creator_of(tag)))
            if creator is None or creator.VR not in ("LO", "UN", None):
                continue
            names = texts(creator)
            vr = self._listed.get((names[0], tag >> 16, tag & 0xFF)) if len(names) == 1 else None
            if vr is not None and (rule := self._rules.get(vr)) is not None and _is(element, vr):
                yield Safe(_as(element, vr), vr, rule)


def creator_of(tag: int) -> int:
    """Tag of the private creator element of a private element's block."""
    return tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8


def _is(element: Element, vr: str) -> bool:
    """Whether an element can be one of a VR: it says so, or says nothing, and its length is right."""
    if vr == "SQ":
        return isinstance(element, DataElement) and element.VR == "SQ"
    if element.VR not in (vr, "UN", None):
        return False
    value = element.value
    size = _BYTES_EACH.get(vr)
    return size is None or not isinstance(value, bytes) or len(value) % size == 0


def _as(element: Element, vr: str) -> Element:
    if isinstance(element, RawDataElement) and vr != element.VR:
        return raw_like(element, vr, element.value if isinstance(element.value, bytes) else b"")
    return element
