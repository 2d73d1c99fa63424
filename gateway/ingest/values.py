"""Step 2 of 7: single numbers out of a header that may hold anything in their place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydicom.dataelem import RawDataElement

from gateway.errors import Unreadable
from gateway.ingest.structure import name

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def first(dataset: Dataset, tag: int) -> Any:
    """The element's first value; None if it is absent or empty."""
    element = dataset._dict.get(tag)  # type: ignore[call-overload] # noqa: SLF001 - a Dataset converts what it hands out
    if element is None:
        return None
    if isinstance(element, RawDataElement) and (raw := element.value or b""):
        if element.VR == "US" and len(raw) % 2 == 0:
            return int.from_bytes(raw[:2], "little" if element.is_little_endian else "big")
        if element.VR == "CS":
            return raw.decode("latin-1").rstrip(" \0").split("\\", 1)[0]
    value: Any = dataset[tag].value
    if isinstance(value, str | bytes | int | float) or value is None:
        return value
    return value[0] if len(value) else None


def integer(dataset: Dataset, tag: int) -> int | None:
    """A whole number; None if it is absent, empty, or something else."""
    value = first(dataset, tag)
    return int(value) if isinstance(value, int) else None


def required(dataset: Dataset, tag: int) -> int:
    """A whole number. Raises Unreadable with the tag if there is none."""
    value = integer(dataset, tag)
    if value is None:
        raise Unreadable(f"{name(tag)} is missing or not a number, so the pixels cannot be read")
    return value


def real(dataset: Dataset, tag: int) -> float | None:
    """A finite number; None if it is absent, empty, NaN, infinite, or something else."""
    value = first(dataset, tag)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def items(dataset: Dataset, tag: int) -> list[Dataset]:
    """The items of a sequence; none if it is absent or not a sequence."""
    return list(dataset[tag].value) if tag in dataset and dataset[tag].VR == "SQ" else []
