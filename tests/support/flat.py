"""A data set as a flat table: what two data sets must have in common to say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def flat(dataset: Dataset, path: str = "") -> dict[str, tuple[str, str]]:
    """Place to VR and value; sequences by their number of items. Group lengths are left out."""
    found = {}
    for element in dataset:
        if element.tag.element == 0:
            continue
        where = f"{path}{element.tag}"
        if element.VR == "SQ":
            found[where] = ("SQ", str(len(element.value)))
            for number, inner in enumerate(element.value):
                found |= flat(inner, f"{where}[{number}]")
        else:
            found[where] = (str(element.VR), repr(element.value))
    return found
