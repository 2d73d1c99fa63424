"""Step 2 of 7: PALETTE COLOR (PS3.3 C.7.6.3.1.5, C.7.9).

pydicom's ``apply_color_lut`` is not used: it expands segmented tables without bound (an indirect segment may name
itself), and indexes with the type of the entries, so that 8-bit entries cannot have more than 256 of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from gateway.errors import Unreadable
from gateway.ingest.lut import descriptor, entries

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from gateway.ingest.codecs import Stored

_DESCRIPTORS = (0x00281101, 0x00281102, 0x00281103)
_DATA = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED = (0x00281221, 0x00281222, 0x00281223)
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """Three tables.

    Attributes:
        first: The stored value that each table's first entry belongs to.
        tables: uint8, one each for red, green, blue.
    """

    first: tuple[int, int, int]
    tables: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]] = field(repr=False)

    @classmethod
    def read(cls, dataset: Dataset, *, signed: bool, little_endian: bool) -> Self:
        """From the data set's own tables. Raises Unreadable if they are missing or not tables."""
        firsts, tables = [], []
        for described, plain, segmented in zip(_DESCRIPTORS, _DATA, _SEGMENTED, strict=True):
            count, first, bits = descriptor(dataset, described, signed=signed)
            if plain in dataset:
                table = entries(dataset, plain, count, little_endian=little_endian)
            else:
                table = _expand(dataset, segmented, count, bits, little_endian=little_endian)
            # 16-bit entries that all fit in a byte are 8-bit ones in too wide a field, as several writers make them.
            wide = bits > 8 and table.max() > 0xFF
            tables.append((table >> 8 if wide else np.minimum(table, 0xFF)).astype(np.uint8))
            firsts.append(first)
        return cls((firsts[0], firsts[1], firsts[2]), (tables[0], tables[1], tables[2]))

    def apply(self, stored: Stored) -> npt.NDArray[np.uint8]:
        """uint8 [rows, columns, 3]. Values beyond either end of a table get the entry of that end."""
        if stored.dtype.itemsize == 2 and stored.size > 2**16:  # look every possible value up once, not every pixel
            every = np.arange(2**16, dtype=np.uint16)
            shown: npt.NDArray[np.uint8] = self.apply(every.view(f"{stored.dtype.kind}2"))[
                stored.astype(stored.dtype.newbyteorder("="), copy=False).view(np.uint16)
            ]
            return shown
        wide = np.int32 if stored.dtype.itemsize <= 2 else np.int64
        out = np.empty((*stored.shape, 3), dtype=np.uint8)
        for channel, (first, table) in enumerate(zip(self.first, self.tables, strict=True)):
            index = np.clip(stored.astype(wide) - first, 0, len(table) - 1)
            out[..., channel] = table[index]
        return out


def _expand(dataset: Dataset, tag: int, count: int, bits: int, *, little_endian: bool) -> npt.NDArray[np.uint16]:
    """Expand a segmented table (PS3.3 C.7.9.2) to at most ``count`` entries."""
    value: Any = dataset[tag].value if tag in dataset else None
    if not isinstance(value, bytes):
        raise Unreadable("PALETTE COLOR without its lookup tables (0028,1201) to (0028,1203)")
    width = 2 if bits > 8 else 1
    order = "<" if little_endian else ">"
    data = np.frombuffer(value[: len(value) // width * width], f"{order}u{width}").tolist()
    table: list[int] = []
    _segments(data, 0, len(data), table, count=count, width=width, inner=False)
    if not table:
        raise Unreadable("A segmented palette is empty")
    return np.array(table[:count], dtype=np.uint16)


def _segments(
    data: list[int], position: int, most: int, table: list[int], *, count: int, width: int, inner: bool
) -> None:
    """Run at most ``most`` segments. An indirect one repeats earlier segments and may not hold another (C.7.9.2.3)."""
    while most and position + 1 < len(data) and len(table) < count:
        opcode, length = data[position], data[position + 1]
        position, most = position + 2, most - 1
        if opcode == _DISCRETE:
            table.extend(data[position : position + length])
            position += length
        elif opcode == _LINEAR and table and position < len(data):
            steps = np.linspace(table[-1], data[position], min(length, count) + 1)[1:]
            table.extend(int(step) for step in np.rint(steps))
            position += 1
        elif opcode == _INDIRECT and table and not inner and position + 4 // width <= len(data):
            words = data[position : position + 4 // width]
            offset = sum(word << (8 * width * index) for index, word in enumerate(words))
            _segments(data, offset // width, length, table, count=count, width=width, inner=True)
            position += 4 // width
        else:
            raise Unreadable("A segmented palette holds a segment that cannot stand there")
