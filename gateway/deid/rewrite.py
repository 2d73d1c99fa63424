"""Step 3 of 7: the frames of an object with their masks, written and looked at again as they were written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.deid.fill import black, paint, paint_bits, paint_native, without_unused
from gateway.deid.recode import NATIVE, Recoder
from gateway.deid.survey import renderings
from gateway.deid.write import PixelValue, fragments
from gateway.errors import NotSanitizable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.deid.look import Cover
    from gateway.deid.pixel_policy import ClassLooks
    from gateway.deid.survey import Survey, Surveyor, Tally
    from gateway.ingest.codecs import Stored
    from gateway.ingest.stored import StoredPixels

MOST_MASKS = 4
"""Masks tried on one frame after the first. Print is gone after one; a thin broken line that is none took three."""


@dataclass(slots=True, eq=False)
class Rewrite:
    """One object's frames on their way out. Iterate ``value.parts`` once; it raises NotSanitizable.

    Attributes:
        pixels: As they came.
        survey: Where they are masked.
        looks: How closely they are looked at again.
        surveyor: Looks again.
        tally: Counted in.
        recoder: Encodes; also says what the pixel attributes are afterwards.
    """

    pixels: StoredPixels = field(repr=False)
    survey: Survey = field(repr=False)
    looks: ClassLooks
    surveyor: Surveyor = field(repr=False)
    tally: Tally
    recoder: Recoder = field(init=False)
    _clean: set[bytes] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        source = self.pixels.source
        if self._in_place:
            self.recoder = Recoder.as_it_is(source)
            return
        self.recoder = Recoder.of(source, self.survey.photometric)
        header = self.recoder.header
        if self.recoder.syntax.uid == NATIVE and header.bits_allocated == 1 and header.frames > 1:
            raise NotSanitizable("Frames of single bits cannot be masked in the transfer syntax of this object")

    @property
    def _in_place(self) -> bool:
        """Whether the frames' bytes are changed where they stand: all that is not masked stays as it is."""
        syntax = self.pixels.source.syntax
        return not syntax.encapsulated and syntax.little_endian

    def value(self) -> PixelValue:
        """For the writer."""
        source, encapsulated = self.pixels.source, self.recoder.syntax.encapsulated
        tag = self.pixels.element.tag
        if self._in_place:
            parts = self._bits() if source.header.bits_allocated == 1 else self._native()
            return PixelValue(parts, source.vr, encapsulated=False, tag=tag)
        frames = self._encoded()
        vr = "OB" if encapsulated or self.recoder.header.bits_allocated <= 8 else "OW"
        return PixelValue(fragments(frames) if encapsulated else frames, vr, encapsulated, tag)

    def _native(self) -> Iterator[bytes | bytearray | memoryview]:
        source = self.pixels.source
        length = source.header.frame_bits // 8
        whole = memoryview(source.value)
        for number, stored, photometric, cover in self._frames():
            raw = whole[(number - 1) * length : number * length]
            value = black(self.pixels.display, number, stored, photometric)
            write = partial(self._patched, raw, value)
            if cover is not None:
                yield self._looked_at(number, write, cover)
            else:
                yield paint_native(raw, None, value, source.header) if self.survey.unused else raw

    def _bits(self) -> Iterator[bytearray]:
        source = self.pixels.source
        out = bytearray(source.value[: (source.header.frame_bits * source.header.frames + 7) // 8])
        for number, _, _, cover in self._frames():
            if cover is not None:
                paint_bits(out, number, cover)
        yield out

    def _encoded(self) -> Iterator[bytes]:
        for number, stored, photometric, cover in self._frames():
            if cover is None:
                yield self._written(stored).data
                continue
            value = black(self.pixels.display, number, stored, photometric)
            write = partial(self._painted, stored, value)
            yield self._looked_at(number, write, cover)

    def _frames(self) -> Iterator[tuple[int, Stored, str, Cover | None]]:
        for number, decoded, photometric in self.pixels.decoded():
            if photometric != self.survey.photometric:
                raise NotSanitizable("The frames of the object are encoded in different colours")
            cover = self.survey.cover(number)
            self.tally.frames_masked += cover is not None
            yield number, without_unused(decoded, self.pixels.source.header), photometric, cover

    def _painted(self, stored: Stored, value: npt.NDArray[Any], cover: Cover) -> _Written:
        return self._written(paint(stored, cover, value))

    def _written(self, stored: Stored) -> _Written:
        """An encoded frame, if a reader decodes it to the same values."""
        encoded = self.recoder.encode(stored)
        written = _Written(encoded, *self.recoder.decode(encoded))
        if written.photometric != self.recoder.header.photometric or not np.array_equal(written.stored, stored):
            raise NotSanitizable("A masked frame cannot be encoded again without a change to other pixels")
        return written

    def _patched(self, raw: memoryview, value: npt.NDArray[Any], cover: Cover) -> _Written:
        patched = bytes(paint_native(raw, cover, value, self.recoder.header))
        return _Written(patched, *self.recoder.decode(patched))

    def _looked_at(self, number: int, write: Callable[[Cover], _Written], cover: Cover) -> bytes:
        """A frame as it is written with its masks, and with those that the look at this adds.

        Raises:
            NotSanitizable: Text is left after the last mask that is tried.
        """
        written = write(cover)
        key = hashlib.sha256(written.data).digest()
        if self.looks.again and key not in self._clean:
            for _ in range(MOST_MASKS):
                if (more := self._left(number, written, cover)) is None:
                    break
                cover = cover | more
                written = write(cover)
            else:
                raise NotSanitizable("Text is still found in a frame after it was masked several times")
            self._clean.add(hashlib.sha256(written.data).digest())
        self.tally.share = max(self.tally.share, float(cover.mean()))
        return written.data

    def _left(self, number: int, written: _Written, cover: Cover) -> Cover | None:
        """What can still be seen in a frame as it was written."""
        pictures = renderings(self.pixels, number, written.stored, written.photometric, self.looks)
        return self.surveyor.cover(pictures, self.looks, self.tally, masked=cover)


class _Written(NamedTuple):
    """A frame as it is written, and what a reader decodes it to."""

    data: bytes
    stored: Stored
    photometric: str
