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
    """

    tag: int
    item: int | None = None
    creator: str | None = None

    def __str__(self) -> str:
        element = f"xx{self.tag & 0xFF:02X}" if self.creator else f"{self.tag & 0xFFFF:04X}"
        private = f' "{self.creator}"' if self.creator else ""
        return f"({self.tag >> 16:04X},{element}{private})" + ("" if self.item is None else f"[{self.item}]")


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
            items = element.value
            if step.item is None or not isinstance(items, Sequence) or len(items) <= step.item:
                return None
            dataset = items[step.item]
    return element


def parent_of(dataset: Dataset, path: Path) -> Dataset | None:
    """The dataset that holds, or would hold, the last element of a path."""
    for step in path[:-1]:
        element = find(dataset, (step,))
        if element is None or step.item is None or not isinstance(element.value, Sequence):
            return None
        dataset = element.value[step.item]
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
