"""Step 2 of 7: large HTJ2K frames, by OpenJPH, which needs little more than the result.

imagecodecs calls OpenJPH from a function that cannot raise: an error there goes to ``sys.unraisablehook``, and what
comes back is memory that nobody filled. So the hook is listened to meanwhile, and such a frame is refused.

An irreversible codestream decodes to values beyond its precision, of which OpenJPH leaves one at the upper end, and
imagecodecs what is left of it in 8 or 16 bits: black, in the place of white. So such a frame is decoded as if it had
some bits more below the point: the quantization is relative to the precision (ITU-T T.800 E.1), so the values are those
of the frame, times a power of two. They are rounded, and clipped as T.800 G.1.2 has it.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.ingest.tiles import PRECISION_AT, PRECISION_STEP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.ingest.codecs import Stored
    from gateway.ingest.tiles import Layout

_MORE_BITS = 4
_FULL = (8, 16)  # bits of the types that imagecodecs gives, with no room for one value more
_BLOCK = 2**19


def decode(frame: bytes | memoryview, layout: Layout, kind: np.dtype[Any]) -> Stored:
    """The samples of a whole codestream, [rows, columns] or [rows, columns, components].

    Args:
        frame: A bare codestream, all of it reversible or all of it not.
        layout: What it declares.
        kind: Type of the result, wide enough for the precision that it declares.

    Raises:
        ValueError: It cannot be decoded.
    """
    if layout.reversible:
        return _decoded(frame).astype(kind, copy=False)
    more = _MORE_BITS - (layout.precision + _MORE_BITS in _FULL)
    finer = bytearray(frame)
    for component in range(layout.components):
        finer[PRECISION_AT + PRECISION_STEP * component] += more
    wide = _decoded(finer)
    del finer
    size, shape = wide.size, wide.shape
    if wide.itemsize < kind.itemsize or not (wide.flags.c_contiguous and wide.flags.owndata):
        wide = wide.astype(kind if wide.itemsize < kind.itemsize else wide.dtype)
    _round(wide, more, layout, kind)
    # Rounded in place: the wide samples are as large as two frames.
    wide.resize(-(-size * kind.itemsize // wide.itemsize), refcheck=False)
    return wide.view(kind)[:size].reshape(shape)


def _round(wide: Stored, more: int, layout: Layout, kind: np.dtype[Any]) -> None:
    """Write the samples of a frame, without some bits more, into the beginning of its own memory."""
    top = 1 << (layout.precision - layout.signed)
    flat = wide.reshape(-1)
    narrow = flat.view(kind)
    for start in range(0, wide.size, _BLOCK):
        values = (flat[start : start + _BLOCK] + (1 << (more - 1))) >> more
        narrow[start : start + len(values)] = np.clip(values, -top if layout.signed else 0, top - 1)


def _decoded(frame: bytes | bytearray | memoryview) -> Stored:
    from imagecodecs import htj2k_decode  # noqa: PLC0415 - 0.3 s to import, and seldom needed

    data: Any = frame  # any buffer will do, whatever the annotations say
    with _no_error_unheard():
        stored: Stored = htj2k_decode(data)
    return stored


@contextmanager
def _no_error_unheard() -> Iterator[None]:
    """Raises ValueError if an exception was ignored. Holds for the whole process; a worker has one thread."""
    heard: list[bool] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: heard.append(True)
    try:
        yield
    finally:
        sys.unraisablehook = before
    if heard:
        raise ValueError("OpenJPH cannot decode the codestream")
