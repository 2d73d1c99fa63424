"""De-identification benchmark: is any of an instance's identifiers left, anywhere in the output?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchmarks.deid_corpus.build import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

_PIXELS = 0x7FE00010


def leaks(dataset: Dataset, identifiers: tuple[str, ...]) -> list[str]:
    """Paths of the elements, file meta included, that hold one of the strings as words of its own."""
    words = "|".join(sorted((re.escape(text.casefold()) for text in identifiers), key=len, reverse=True))
    if not words:
        return []
    pattern = re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])")
    parts = (getattr(dataset, "file_meta", None), dataset)
    return [where for part in parts if part is not None for where, text in _texts(part, "") if pattern.search(text)]


def _texts(dataset: Dataset, above: str) -> Iterator[tuple[str, str]]:
    for element in dataset:
        where = f"{above}({element.tag.group:04X},{element.tag.element:04X})"
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from _texts(item, f"{where}[{number}]")
        elif element.tag != _PIXELS and element.value is not None:
            for text in _readings(element):
                yield where, text.casefold()


def _readings(element: DataElement) -> tuple[str, ...]:
    """Bytes are read in every encoding in which the corpus writes; of a name every component group is looked at."""
    if isinstance(element.value, bytes):
        return (element.value.decode("utf-8", "replace"), element.value.decode("latin-1"))
    return (as_text(element.value).replace("^", " ").replace("=", " "),)
