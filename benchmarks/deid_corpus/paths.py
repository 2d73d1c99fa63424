"""De-identification benchmark: where an element stands, at any depth, in private blocks too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pydicom.sequence import Sequence
from pydicom.tag import Tag

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Step:
    """One step down.

    Attributes:
        tag: The element; of a private one, the group and the low byte of the element: its block may be renumbered.
        item: The item, from 0, if the path goes on inside a sequence.
        creator: Private creator, which must be reserved in the same dataset (PS3.5 §7.8.1).
        concept: Concept name code of a content item: it is found by this, since items before it may be removed.
    """

    tag: int
    item: int | None = None
    creator: str | None = None
    concept: str | None = None

    def __str__(self) -> str:
        element = f"xx{self.tag & 0xFF:02X}" if self.creator else f"{self.tag & 0xFFFF:04X}"
        private = f' "{self.creator}"' if self.creator else ""
        item = "" if self.item is None else f"[{self.concept or self.item}]"
        return f"({self.tag >> 16:04X},{element}{private}){item}"


Path: TypeAlias = tuple[Step, ...]


def show(path: Path) -> str:
    """``(0040,0275)[0](0040,1001)``."""
    return "".join(map(str, path))


def find(dataset: Dataset, path: Path) -> DataElement | None:
    """The element at a path; None if it, its sequence item or its private creator is not there."""
    element = None
    for number, step in enumerate(path):
        parent = dataset
        if step.tag >> 16 == 2:
            parent = getattr(dataset, "file_meta", None) or type(dataset)()
        tag = step.tag if step.creator is None else _private(parent, step)
        if tag is None or tag not in parent:
            return None
        element = parent[tag]
        if number + 1 < len(path):
            item = _item(element, step)
            if item is None:
                return None
            dataset = item
    return element


def _item(element: DataElement, step: Step) -> Dataset | None:
    """The item that a step goes into."""
    items = element.value
    if step.item is None or not isinstance(items, Sequence):
        return None
    if step.concept is None:
        return items[step.item] if step.item < len(items) else None
    return next((item for item in items if concept_of(item) == step.concept), None)


def concept_of(item: Dataset) -> str | None:
    """Code value of the concept name of a content item."""
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].get("CodeValue")) if names else None


def parent_of(dataset: Dataset, path: Path) -> Dataset | None:
    """The dataset that holds, or would hold, the last element of a path."""
    for step in path[:-1]:
        element = find(dataset, (step,))
        item = None if element is None else _item(element, step)
        if item is None:
            return None
        dataset = item
    if path[-1].tag >> 16 == 2:
        meta: Dataset = dataset.file_meta
        return meta
    return dataset


def _private(dataset: Dataset, step: Step) -> int | None:
    group = step.tag >> 16
    for block in range(0x10, 0x100):
        tag = Tag(group, block)
        if tag in dataset and str(dataset[tag].value).strip() == step.creator:
            return group << 16 | block << 8 | step.tag & 0xFF
    return None
