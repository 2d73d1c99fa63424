"""Step 3 of 7: overlay planes (PS3.3 C.9.2) under the Clean Graphics Option: looked at, and text in them taken out.

A plane is a drawing of one bit a pixel. What cannot be understood, or holds more text than may be masked, goes with its
whole group.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydicom.dataelem import DataElement, RawDataElement

from gateway.deid.values import texts

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from gateway.deid.look import Look
    from gateway.deid.pixel_policy import PixelPolicy
    from gateway.ingest.vr import Elements

    Planes = npt.NDArray[np.uint8]

_FIRST, _LAST = 0x6000, 0x601E
_ROWS, _COLUMNS, _FRAMES, _ALLOCATED, _POSITION, _DATA = 0x0010, 0x0011, 0x0015, 0x0100, 0x0102, 0x3000
_MOST_PIXELS = 1 << 26
_MOST_FRAMES = 64
_DRAWN = 255


class Overlay(NamedTuple):
    """What became of one group: None in place of a count means that it went."""

    group: int
    regions: int | None


class OverlayCleaner:
    """Cleans overlay planes by one policy."""

    def __init__(self, policy: PixelPolicy, look: Look) -> None:
        self._policy = policy
        self._look = look

    def clean(self, elements: Elements) -> list[Overlay]:
        """Take text out of every plane of a data set; planes that cannot be cleaned go.

        Args:
            elements: Of the copy that is being made; changed in place.

        Raises:
            NotSanitizable: The detector failed.
        """
        done = []
        for group in sorted({tag >> 16 for tag in elements if _FIRST <= tag >> 16 <= _LAST}):
            regions = self._plane(elements, group << 16)
            if regions is None:
                for tag in [tag for tag in elements if tag >> 16 == group]:
                    del elements[tag]
            done.append(Overlay(group, regions))
        return done

    def _plane(self, elements: Elements, base: int) -> int | None:
        number = _numbers(elements, base)
        rows, columns, frames = number(_ROWS, 0), number(_COLUMNS, 0), number(_FRAMES, 1)
        size = rows * columns * frames
        data = elements.get(base | _DATA)  # type: ignore[call-overload]
        if data is None or not isinstance(data.value, bytes) or number(_ALLOCATED, 1) != 1 or number(_POSITION, 0) != 0:
            return None
        if not 0 < size <= _MOST_PIXELS or not 1 <= frames <= _MOST_FRAMES or len(data.value) < math.ceil(size / 8):
            return None
        content = np.frombuffer(data.value, np.uint8)
        if isinstance(data, RawDataElement) and not data.is_little_endian:
            content = content[: len(content) & ~1].view(np.uint16).byteswap().view(np.uint8)
        bits = np.unpackbits(content, count=size, bitorder="little")
        planes = bits.reshape(frames, rows, columns) * np.uint8(_DRAWN)
        regions = 0
        for plane in planes:
            if not plane.any():
                continue
            cover, found = self._look.cover([plane], self._policy.whole.high, self._policy.pad)
            if cover is not None:
                if cover.mean() > self._policy.share_cap:
                    return None
                plane[cover] = 0
                regions += found
        written = np.packbits(planes.reshape(-1) > 0, bitorder="little").tobytes()
        # Written anew in every case: what stands behind the last pixel, in no plane, does not go on.
        elements[data.tag] = DataElement(data.tag, "OW", written + b"\0" * (len(written) % 2))
        return regions


def _numbers(elements: Elements, base: int) -> Callable[[int, int], int]:
    def number(tag: int, otherwise: int) -> int:
        """The value of a US or IS element; -1 if it is none."""
        element = elements.get(base | tag)  # type: ignore[call-overload]
        if element is None or element.value in (None, b"", ""):
            return otherwise
        value = element.value
        if isinstance(value, bytes) and element.VR != "IS":
            big = isinstance(element, RawDataElement) and not element.is_little_endian
            return int.from_bytes(value, "big" if big else "little") if len(value) == 2 else -1
        text = texts(element)
        return int(text[0]) if len(text) == 1 and text[0].isascii() and text[0].isdigit() else -1

    return number
