"""Step 3 of 7: content items of structured reports and their like, by the name of the concept (PS3.15 E.3.4).

A content item says what it is about by a code, and holds its value in one of a few attributes (PS3.3 C.17.3). Table
E.3.4-1 gives an action to some of those codes; without the Clean Structured Content Option its Basic Profile column
makes the dummy that Table E.1-1 asks for in the place of the content. With the option, a text under any other code is
cleaned, a name is replaced, and a date goes the way of the policy's dates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydicom.dataelem import DataElement

from gateway.deid.options import CLEAN_CONTENT, FULL_DATES, MODIFIED_DATES, decide
from gateway.deid.rules import CleanText, Dummy, Keep, NewUid, Remove, Retain, Rule
from gateway.deid.time_rules import CapNumber, KeepDate, ShiftDate
from gateway.deid.values import texts
from gateway.ingest.vr import TAGS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from gateway.deid.tables import ContentRow
    from gateway.ingest.vr import Elements

CONTENT_SEQUENCES = frozenset({0x0040A730, 0x00400440, 0x00400441, 0x00400555, 0x00400612, 0x0040B020})
"""Content, Protocol Context, Content Item Modifier, Acquisition Context, Specimen Preparation Step Content Item and
Waveform Annotation Sequence."""

MEASURED_VALUE = 0x0040A300
_CONCEPT_NAME, _UNITS, _CODE_VALUE, _SCHEME = 0x0040A043, 0x004008EA, 0x00080100, 0x00080102
_DATETIME, _DATE, _TIME, _PERSON, _UID, _TEXT, _UNFORMATTED, _NUMBER = (
    0x0040A120, 0x0040A121, 0x0040A122, 0x0040A123, 0x0040A124, 0x0040A160, 0x00700006, 0x0040A30A,
)  # fmt: skip
_DATES, _TEXTS = (_DATETIME, _DATE, _TIME), (_TEXT, _UNFORMATTED)

_SUBJECT_AGE = ("121033", "DCM")
_UNITS_A_YEAR = {"mo": 12, "wk": 52, "d": 366}
_LOSS = Dummy()
_KEEP_UID = Keep("", frozenset(), NewUid(), re.compile(r"[0-9.]{0,64}"))
DROPPED = Remove("removed", "a content item whose concept Table E.3.4-1 removes")


@dataclass(slots=True)
class ContentItems:
    """What to do with content items under one policy.

    Attributes:
        age_cap: Highest age in years that is stated as it is.
        by_concept: Code and scheme to the rules of the item's value; None: the item goes.
        others: The rules for every other concept.
    """

    age_cap: int
    by_concept: dict[tuple[str, str], Mapping[int, Rule] | None] = field(default_factory=dict)
    others: Mapping[int, Rule] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[ContentRow], options: Collection[str], age_cap: int) -> ContentItems:
        """Those of a policy's options."""
        date_rule: Rule = _LOSS
        if MODIFIED_DATES in options:
            date_rule = ShiftDate(_LOSS)
        elif FULL_DATES in options:
            date_rule = KeepDate(_LOSS)
        cleaned: dict[int, Rule] = {_PERSON: _LOSS, **dict.fromkeys(_DATES, date_rule)}
        cleaned |= dict.fromkeys(_TEXTS, CleanText(_LOSS))
        items = cls(age_cap, others=cleaned if CLEAN_CONTENT in options else {})
        for row in rows:
            code = decide(row, options).code
            if CLEAN_CONTENT not in options and code in ("C", "K"):
                if row.basic != "X":
                    continue  # an option about dates or UIDs: the attributes' own rules are for it
                code = row.basic
            items.by_concept[row.code, row.scheme] = _rules(code, cleaned)
        return items

    def rules(self, elements: Elements) -> Mapping[int, Rule] | None:
        """The rules for an item's value, before the rule book's; None if the item is to go."""
        concept = _code(elements, _CONCEPT_NAME)
        rules = self.by_concept.get(concept, self.others)
        if concept == _SUBJECT_AGE and rules is not None:
            measured = elements.get(TAGS[MEASURED_VALUE])
            items = measured.value if isinstance(measured, DataElement) else None
            unit, _ = _code(items[0]._dict, _UNITS) if items else ("", "")  # noqa: SLF001 - nothing is converted
            return {**rules, _NUMBER: CapNumber(self.age_cap * _UNITS_A_YEAR.get(unit, 1), _LOSS)}
        return rules


def _rules(code: str, cleaned: Mapping[int, Rule]) -> Mapping[int, Rule] | None:
    if code == "X":
        return None
    if code == "C":
        return cleaned
    if code == "K":
        kept: dict[int, Rule] = dict.fromkeys(_TEXTS, Retain(CleanText(_LOSS)))
        return {**cleaned, **kept, **dict.fromkeys(_DATES, KeepDate(_LOSS)), _UID: _KEEP_UID}
    # D, and X/D: the template may ask for the item (PS3.16), so it stays and its value goes.
    return {**dict.fromkeys((*_TEXTS, *_DATES, _PERSON), _LOSS), _UID: NewUid()}


def _code(elements: Elements, sequence: int) -> tuple[str, str]:
    """Code Value and Coding Scheme Designator of the first item of a sequence of codes."""
    names = elements.get(TAGS[sequence])
    if not isinstance(names, DataElement) or not names.value:
        return "", ""
    item = names.value[0]
    code, scheme = ((texts(item.get_item(tag)) or [""])[0] if tag in item else "" for tag in (_CODE_VALUE, _SCHEME))
    return code, scheme
