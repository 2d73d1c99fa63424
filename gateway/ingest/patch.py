"""Step 2 of 7: pixels that are to be shown as if they had another value, without a copy of the frame.

A large frame is shown piece by piece: neither its picture nor a painted copy of it is in memory at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.ingest.codecs import Stored
    from gateway.ingest.mask import Mask, Place

_BLOCK = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """What stands where a frame is masked.

    Attributes:
        mask: Where.
        value: The stored value, or the three, in the type of the frame.
    """

    mask: Mask = field(repr=False)
    value: npt.NDArray[Any]

    def onto(self, part: Stored, place: Place) -> Stored:
        """The pixels of one place, painted; a copy if any of them is masked."""
        hidden = self.mask[place]
        if not hidden.any():
            return part
        painted = part.copy()
        painted[hidden] = self.value
        return painted


@dataclass(frozen=True, slots=True, eq=False)
class Toned:
    """A grey frame of whole numbers of up to 16 bits, shown by a table.

    Attributes:
        tones: Grey of each value, as it is read without a sign.
        values: The frame, [rows, columns].
        patch: What stands there in place of some.
    """

    tones: npt.NDArray[np.uint8] = field(repr=False)
    values: Stored = field(repr=False)
    patch: Patch | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the picture."""
        return self.values.shape

    def __getitem__(self, place: Place) -> npt.NDArray[np.uint8]:
        part = self.values[place]
        return self.tones[unsigned(part if self.patch is None else self.patch.onto(part, place))]

    def whole(self) -> npt.NDArray[np.uint8]:
        """All of it: what looking up needs eight times the size for is done some rows at a time."""
        out = np.empty(self.values.shape, np.uint8)
        for place in strips(self.values.shape):
            out[place] = self[place]
        return out

    def planes(self) -> Iterator[npt.NDArray[np.uint8]]:
        """The one plane that it has."""
        yield self.whole()


@dataclass(frozen=True, slots=True, eq=False)
class Coloured:
    """A frame in colours.

    Attributes:
        convert: Pixels of the frame to uint8 [rows, columns, 3], each by itself.
        values: The frame, [rows, columns] or [rows, columns, 3].
        patch: What stands there in place of some.
    """

    convert: Callable[[Stored], npt.NDArray[np.uint8]] = field(repr=False)
    values: Stored = field(repr=False)
    patch: Patch | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the picture."""
        return (*self.values.shape[:2], 3)

    def __getitem__(self, place: Place) -> npt.NDArray[np.uint8]:
        part = self.values[place]
        return self.convert(part if self.patch is None else self.patch.onto(part, place))

    def whole(self) -> npt.NDArray[np.uint8]:
        """All of it."""
        return self[:, :]

    def planes(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Red, green and blue, one at a time."""
        for colour in range(3):
            out = np.empty(self.values.shape[:2], np.uint8)
            for place in strips(self.values.shape):
                out[place] = self[place][..., colour]
            yield out


Shown: TypeAlias = Toned | Coloured
"""A frame that is shown piece by piece."""


def strips(shape: tuple[int, ...]) -> Iterator[Place]:
    """The places of some rows at a time, of 2**20 pixels or less together if a row has no more."""
    step = max(1, _BLOCK // max(1, shape[1]))
    for top in range(0, shape[0], step):
        yield slice(top, min(top + step, shape[0])), slice(None)


def unsigned(values: Stored) -> Stored:
    """Whole numbers in the order of bytes of this machine, read as if they had no sign."""
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    return native.view(f"u{native.dtype.itemsize}")


def counted(values: Stored, most: int, patch: Patch | None = None) -> npt.NDArray[np.int64]:
    """How often each of ``most`` values occurs, read without a sign. NumPy makes eight bytes of each: so by strips."""
    counts = np.zeros(most, np.int64)
    for place in strips(values.shape):
        part = values[place] if patch is None else patch.onto(values[place], place)
        counts += np.bincount(unsigned(part).reshape(-1), minlength=most)
    return counts
