"""Step 3 of 7: the walk through a header, every sequence at every depth. Makes a new dataset and leaves the old one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from gateway.deid.identifiers import Identifiers
from gateway.deid.rules import Found, Recurse
from gateway.deid.values import dictionary_vrs, vr_of

if TYPE_CHECKING:
    from gateway.deid.rulebook import Rulebook
    from gateway.deid.rules import Rule
    from gateway.deid.tables import Tables
    from gateway.deid.uids import StandIns


@dataclass(slots=True)
class HeaderWalk:
    """One object's walk.

    Attributes:
        special: Rules that go before the rulebook's, by tag, at the top level only.
        actions: What was done, by name, to how many elements.
        groups: Tag group in hex to how many elements it lost or had changed.
        identifiers: What the identifying attributes held.
    """

    rulebook: Rulebook
    tables: Tables
    stand_ins: StandIns
    special: dict[int, Rule] = field(default_factory=dict)
    actions: Counter[str] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    identifiers: Identifiers = field(default_factory=Identifiers)

    def clean(self, source: Dataset, *, depth: int = 0) -> Dataset:
        """The de-identified copy of a dataset."""
        target = Dataset()
        # Values that nobody touched stay bytes: they are read, and written, in the encoding that they came in.
        implicit, little_endian = source.original_encoding
        target.set_original_encoding(implicit, little_endian, source.original_character_set)
        for tag in source.keys():  # noqa: SIM118 - iterating a Dataset itself converts every element
            number = int(tag)
            element = source.get_item(tag)
            known = dictionary_vrs(number)
            vr = vr_of(element, known)
            rule = (None if depth else self.special.get(number)) or self.rulebook.rule(number, vr, known)
            if vr == "PN" or number in self.tables.identifiers:
                self.identifiers.collect(source, number, self.tables.identifiers.get(number, "name"))
            if vr == "SQ" and isinstance(rule, Recurse):
                self._sequence(source, number, target, depth)
                continue
            result = rule.apply(Found(element, number, vr or known[0], self.stand_ins)) if known else None
            if result is not None:
                target[tag] = result
            if result is not element:
                self._count(rule, number)
        return target

    def _sequence(self, source: Dataset, tag: int, target: Dataset, depth: int) -> None:
        try:
            items = source[tag].value
        except Exception:  # noqa: BLE001 - whatever makes a sequence unreadable, its bytes do not go on
            self.actions["unlisted"] += 1
            self.groups[f"{tag >> 16:04X}"] += 1
            return
        cleaned = [self.clean(item, depth=depth + 1) for item in items or ()]
        target[tag] = DataElement(tag, "SQ", Sequence(cleaned))

    def _count(self, rule: Rule, tag: int) -> None:
        self.actions["replaced" if rule.action == "kept" else rule.action] += 1
        self.groups[f"{tag >> 16:04X}"] += 1
