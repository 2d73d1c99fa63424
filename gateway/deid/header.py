"""Step 3 of 7: the walk through a header, every sequence at every depth. Makes a new dataset and leaves the old one.

The loop runs once an element and is most of what de-identifying a header costs: values stay bytes, and the rule of an
attribute is looked up once for each place in which it can stand.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from gateway.deid.content import CONTENT_SEQUENCES, DROPPED, MEASURED_VALUE
from gateway.deid.private import creator_of
from gateway.deid.rulebook import PRIVATE
from gateway.deid.rules import Recurse, Remove
from gateway.deid.values import dictionary_vrs, texts, vr_of
from gateway.ingest.vr import TAGS, bare_dataset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydicom.dataset import Dataset

    from gateway.deid.content import ContentItems
    from gateway.deid.instance import Instance
    from gateway.deid.private import SafePrivate
    from gateway.deid.rulebook import Rulebook
    from gateway.deid.rules import Rule
    from gateway.deid.values import Element
    from gateway.ingest.vr import Elements

_SOP_CLASS = TAGS[0x00080016]
_PRIVATE_BIT = 0x10000
_MOST_REMEMBERED = 50_000
_UNREADABLE = Remove("unlisted", "a sequence that cannot be read")


class _Place(NamedTuple):
    """An attribute where it stands: the VR that was declared, the one that holds, its rule."""

    declared: str | None
    vr: str | None
    rule: Rule
    sequence: bool


class Places:
    """Rules by attribute, once for every IOD and every sequence. Shared by all walks under one policy."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rulebook = rulebook
        self._levels: dict[tuple[str | None, int], dict[int, _Place]] = {}
        self._count = 0

    def level(self, iod: str | None, parent: int) -> dict[int, _Place]:
        """What is known so far of one level."""
        return self._levels.setdefault((None if parent else iod, parent), {})

    def place(self, tag: int, element: Element, iod: str | None, parent: int) -> _Place:
        """Look an attribute up, and remember it if the data dictionary has it."""
        known = dictionary_vrs(tag)
        vr = vr_of(element, known)
        rule = self._rulebook.rule(tag, vr, known, iod, parent)
        made = _Place(element.VR, vr or (known[0] if known else "UN"), rule, vr == "SQ" and isinstance(rule, Recurse))
        if tag in TAGS:
            if self._count >= _MOST_REMEMBERED:
                self._levels.clear()
                self._count = 0
            self._count += 1
            self.level(iod, parent)[TAGS[tag]] = made
        return made


@dataclass(slots=True)
class HeaderWalk:
    """One object's walk.

    Attributes:
        places: Rules by attribute.
        content: What happens to content items.
        private: What private elements may stay; None: none.
        instance: What the rules may ask.
        iod: Of the object, once it was walked; None if its SOP class is unknown.
        changes: Rule and tag of every element that went or was changed.
    """

    places: Places
    content: ContentItems
    private: SafePrivate | None
    instance: Instance
    iod: str | None = None
    changes: list[tuple[Rule, int]] = field(default_factory=list)

    def clean(self, source: Dataset, iods: Mapping[str, str]) -> Dataset:
        """The de-identified copy of an object's data set.

        Args:
            source: Not changed.
            iods: SOP Class UID to the name of its IOD.
        """
        sop_class = source.get_item(_SOP_CLASS) if _SOP_CLASS in source else None
        names = texts(sop_class) if sop_class is not None else []
        self.iod = iods.get(names[0]) if len(names) == 1 else None
        return self._clean(source, 0, None)

    @property
    def actions(self) -> dict[str, int]:
        """What was done, by name, to how many elements."""
        return dict(Counter("replaced" if rule.action == "kept" else rule.action for rule, _ in self.changes))

    @property
    def groups(self) -> dict[str, int]:
        """Tag group in hex to how many elements it lost or had changed."""
        return dict(Counter(f"{tag >> 16:04X}" for _, tag in self.changes))

    def _clean(self, source: Dataset, parent: int, overrides: Mapping[int, Rule] | None) -> Dataset:
        instance, changes = self.instance, self.changes
        elements: Elements = source._dict  # type: ignore[assignment] # noqa: SLF001 - a Dataset converts what it hands out
        target: Elements = {}
        own = source.original_character_set
        instance.encodings = [own] if isinstance(own, str) else own
        level = self.places.level(self.iod, parent)
        private: list[Element] = []
        for tag, element in elements.items():
            if tag & _PRIVATE_BIT:
                private.append(element)
                continue
            place = level.get(tag)
            if place is None or place.declared != element.VR:
                place = self.places.place(tag, element, self.iod, parent)
            _, vr, rule, sequence = place
            if sequence:
                self._sequence(source, element, target, overrides)
                instance.encodings = [own] if isinstance(own, str) else own
                continue
            if overrides is not None:
                rule = overrides.get(tag, rule)
            result = rule.apply(element, vr or "UN", instance)
            if result is not None:
                target[tag] = result
            if result is not element:
                changes.append((rule, tag))
        if private:
            target = self._private(source, private, target)
        return bare_dataset(
            target, (bool(source.original_encoding[0]), source.original_encoding[1] is not False),
            source._parent_encoding, own,  # noqa: SLF001 - see above
        )  # fmt: skip

    def _sequence(
        self, source: Dataset, element: Element, target: Elements, above: Mapping[int, Rule] | None = None
    ) -> None:
        tag = element.tag
        try:
            value = element.value if isinstance(element, DataElement) else source[tag].value
        except Exception:  # noqa: BLE001 - whatever makes a sequence unreadable, its bytes do not go on
            self.changes.append((_UNREADABLE, tag))
            return
        items = tag in CONTENT_SEQUENCES
        cleaned = []
        for item in value or ():
            overrides = above if tag == MEASURED_VALUE else None
            if items:
                overrides = self.content.rules(item._dict)  # noqa: SLF001 - see above
                if overrides is None:
                    self.changes.append((DROPPED, tag))
                    continue
            cleaned.append(self._clean(item, tag, overrides))
        if cleaned or not value:
            target[tag] = DataElement(tag, "SQ", Sequence(cleaned), already_converted=True)

    def _private(self, source: Dataset, private: list[Element], target: Elements) -> Elements:
        elements: Elements = source._dict  # type: ignore[assignment] # noqa: SLF001 - see above
        if self.private is not None:
            for element, vr, rule in self.private.safe(elements, private):
                if vr == "SQ":
                    self._sequence(source, element, target)
                elif (result := rule.apply(element, vr, self.instance)) is not None:
                    target[element.tag] = result
                    if result is not element:
                        self.changes.append((rule, element.tag))
                if element.tag in target:
                    creator = elements[BaseTag(creator_of(element.tag))]
                    target[creator.tag] = creator
        gone = [element.tag for element in private if element.tag not in target]
        self.changes.extend((PRIVATE, tag) for tag in gone)
        return dict(sorted(target.items())) if len(gone) < len(private) else target
