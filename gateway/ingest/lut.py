"""Step 2 of 7: lookup tables of a header (PS3.3 C.11.1.1, C.11.2.1.1), whatever form their data come in.

pydicom's ``apply_modality_lut`` and ``apply_voi_lut`` are not used: with NumPy 2 they raise OverflowError for a first
value below zero on unsigned pixels, and they index past the table when it is shorter than its descriptor says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from gateway.errors import Unreadable
from gateway.ingest.structure import name

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Real = npt.NDArray[np.float64]
LUT_DESCRIPTOR, LUT_DATA = 0x00283002, 0x00283006


@dataclass(frozen=True, slots=True, eq=False)
class Lut:
    """A table.

    Attributes:
        first: The input value that the first entry belongs to.
        table: Its entries, float64; at least one.
        bits: Bits of an entry: 1 to 16.
    """

    first: int
    table: Real = field(repr=False)
    bits: int

    @classmethod
    def read(cls, item: Dataset, *, signed: bool, little_endian: bool) -> Self:
        """From LUT Descriptor and LUT Data. Raises Unreadable if they are not a table."""
        count, first, bits = descriptor(item, LUT_DESCRIPTOR, signed=signed)
        return cls(first, entries(item, LUT_DATA, count, little_endian=little_endian).astype(np.float64), bits)

    def apply(self, values: Real) -> Real:
        """Look values up; those beyond either end get the entry of that end."""
        index = np.clip(np.nan_to_num(values) - self.first, 0, len(self.table) - 1)
        result: Real = self.table[index.astype(np.intp)]
        return result


def descriptor(dataset: Dataset, tag: int, *, signed: bool) -> tuple[int, int, int]:
    """Number of entries, first input value, bits of an entry (PS3.3 C.11.1.1). Raises Unreadable."""
    values: Any = dataset[tag].value if tag in dataset else None
    if not isinstance(values, list) and hasattr(values, "__iter__") and not isinstance(values, str | bytes):
        values = list(values)
    if not isinstance(values, list) or len(values) != 3 or not all(isinstance(value, int) for value in values):
        raise Unreadable(f"{name(tag)} does not describe a lookup table")
    count, first, bits = (int(value) for value in values)
    if signed and first > 0x7FFF:
        first -= 0x10000  # written as US although the pixels are signed
    if not 0 <= count <= 0xFFFF or not 1 <= bits <= 16:
        raise Unreadable(f"{name(tag)} does not describe a lookup table")
    return count or 0x10000, first, bits


def entries(dataset: Dataset, tag: int, count: int, *, little_endian: bool) -> npt.NDArray[np.uint16]:
    """At most ``count`` entries. Bytes are 8-bit entries if there are just as many as entries, else 16-bit words.

    Raises:
        Unreadable: There is none.
    """
    value: Any = dataset[tag].value if tag in dataset else None
    if isinstance(value, bytes):
        words = np.frombuffer(value[: len(value) // 2 * 2], dtype="<u2" if little_endian else ">u2")
        if len(value) in (count, count + count % 2):
            octets = np.frombuffer(value, dtype=np.uint8) if little_endian else words.astype("<u2").view(np.uint8)
            table = octets.astype(np.uint16)
        else:
            table = words.astype(np.uint16)
    elif isinstance(value, int):
        table = np.array([value & 0xFFFF], dtype=np.uint16)
    elif value is not None and not isinstance(value, str) and all(isinstance(entry, int) for entry in value):
        table = np.array([int(entry) & 0xFFFF for entry in value], dtype=np.uint16)
    else:
        table = np.empty(0, dtype=np.uint16)
    if not len(table):
        raise Unreadable(f"{name(tag)} holds no lookup table")
    return table[:count]
