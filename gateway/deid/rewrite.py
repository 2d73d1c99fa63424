"""Step 3 of 7: the frames of an object with their masks, written and looked at again as they were written."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.deid import rle
from gateway.deid.fill import black, paint, paint_bits, paint_native, painted_rows, painted_strips, without_unused
from gateway.deid.recode import NATIVE, Recoder
from gateway.deid.survey import digest, renderings
from gateway.deid.write import PixelValue, fragment, fragments
from gateway.errors import NotSanitizable
from gateway.ingest.codecs import LARGE
from gateway.ingest.guard import fence
from gateway.ingest.header import HALF_CHROMA
from gateway.ingest.patch import Patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway.deid.canvas import Picture
    from gateway.deid.pixel_policy import ClassLooks
    from gateway.deid.survey import Survey, Surveyor, Tally
    from gateway.ingest.codecs import Stored
    from gateway.ingest.mask import Mask
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
    _settled: dict[bytes, Mask] = field(default_factory=dict, init=False, repr=False)
    """Masks after which nothing was seen any more, by what was seen before."""

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

    @property
    def _segment_by_segment(self) -> bool:
        """Whether it is one large frame in RLE, all of whose unmasked samples stay as they are."""
        source, header = self.pixels.source, self.recoder.header
        large = header.frames == 1 and header.frame_bits >= 8 * LARGE
        return large and source.syntax.codec == "rle" and self.recoder.syntax.encapsulated and not self.survey.unused

    def value(self) -> PixelValue:
        """For the writer."""
        source, encapsulated = self.pixels.source, self.recoder.syntax.encapsulated
        tag = self.pixels.element.tag
        if self._in_place:
            length = source.header.frame_bits * source.header.frames // 8
            if source.header.bits_allocated > 1:
                return PixelValue(self._native(), source.vr, encapsulated=False, tag=tag, length=length)
            return PixelValue(self._bits(), source.vr, encapsulated=False, tag=tag)
        header = self.recoder.header
        if not encapsulated and header.bits_allocated > 1:
            vr = "OB" if header.bits_allocated <= 8 else "OW"
            length = header.frame_bits * header.frames // 8
            return PixelValue(self._decompressed(), vr, encapsulated, tag, length)
        if self._segment_by_segment:
            return PixelValue(self._repacked(), "OB", encapsulated, tag)
        frames = self._encoded()
        vr = "OB" if encapsulated or self.recoder.header.bits_allocated <= 8 else "OW"
        return PixelValue(fragments(frames) if encapsulated else frames, vr, encapsulated, tag)

    def _native(self) -> Iterator[bytes | bytearray | memoryview]:
        header, length = self.pixels.source.header, self.pixels.source.header.frame_bits // 8
        whole = memoryview(self.pixels.source.value)
        for number, stored, photometric, mask in self._frames():
            raw = whole[(number - 1) * length : number * length]
            value = black(self.pixels.display, number, stored, photometric)
            if mask is None:
                yield paint_native(raw, None, value, header) if self.survey.unused else raw
            elif self.pixels.display.patches(stored, photometric) and header.photometric not in HALF_CHROMA:
                show = partial(self._patched, number, stored, photometric, value)
                yield from painted_strips(raw, self._seen_clean(mask, show), value, header)
            else:
                painting = _Painting(self, number, partial(self._painted_native, raw, value), [])
                yield painting.data(self._seen_clean(mask, painting.show))

    def _bits(self) -> Iterator[bytearray]:
        source = self.pixels.source
        out = bytearray(source.value[: (source.header.frame_bits * source.header.frames + 7) // 8])
        for number, _, _, mask in self._frames():
            if mask is not None:
                paint_bits(out, number, mask)
        yield out

    def _decompressed(self) -> Iterator[bytes | bytearray | memoryview]:
        """Frames that came in another syntax, native: painted as they are written, some rows at a time."""
        for number, stored, photometric, mask in self._frames():
            value = black(self.pixels.display, number, stored, photometric)
            if mask is None:
                yield self.recoder.encode(stored)
            elif self.pixels.display.patches(stored, photometric):
                settled = self._seen_clean(mask, partial(self._patched, number, stored, photometric, value))
                yield from painted_rows(stored, Patch(settled, value), self.recoder.header)
            else:
                painting = _Painting(self, number, partial(self._painted, value), [stored])
                yield painting.data(self._seen_clean(mask, painting.show))

    def _repacked(self) -> Iterator[bytes | bytearray]:
        """A frame that came in RLE, painted segment by segment; decoded it is held for the look alone."""
        for number, stored, photometric, mask in self._frames():
            assert mask is not None
            value = black(self.pixels.display, number, stored, photometric)
            settled = self._seen_clean(mask, partial(self._patched, number, stored, photometric, value))
            del stored
            encoded = next(self.pixels.encoded())
            with fence("A masked frame cannot be encoded again", NotSanitizable):
                length, pieces = rle.repainted(encoded, self.pixels.source.header, Patch(settled, value))
            yield from fragment(length, pieces)

    def _encoded(self) -> Iterator[bytes | bytearray | memoryview]:
        for number, stored, photometric, mask in self._frames():
            if mask is None:
                yield self._written(stored).data
                continue
            value = black(self.pixels.display, number, stored, photometric)
            painting = _Painting(self, number, partial(self._painted, value), [stored])
            del stored
            yield painting.data(self._seen_clean(mask, painting.show))

    def _frames(self) -> Iterator[tuple[int, Stored, str, Mask | None]]:
        for number, decoded, photometric in self.pixels.decoded():
            if photometric != self.survey.photometric:
                raise NotSanitizable("The frames of the object are encoded in different colours")
            mask = self.survey.mask(number)
            self.tally.frames_masked += mask is not None
            frame = [without_unused(decoded, self.pixels.source.header)]
            del decoded
            yield number, frame.pop(), photometric, mask  # and no longer held here

    def _painted(self, value: npt.NDArray[Any], frame: list[Stored], mask: Mask) -> _Written:
        """``frame`` is emptied: of a large frame no more is in memory than has to be."""
        painted = [paint(frame.pop(), mask, value)]
        if self.pixels.source.header.frames > 1:
            return self._written(painted[0])
        mark, encoded = _mark(painted[0]), self.recoder.encode(painted[0])
        painted.clear()
        written = _Written(encoded, *self.recoder.decode(encoded))
        return self._checked(written, same=_mark(written.stored) == mark)

    def _written(self, stored: Stored) -> _Written:
        """An encoded frame, if a reader decodes it to the same values."""
        encoded = self.recoder.encode(stored)
        written = _Written(encoded, *self.recoder.decode(encoded))
        return self._checked(written, same=np.array_equal(written.stored, stored))

    def _checked(self, written: _Written, *, same: bool) -> _Written:
        if written.photometric != self.recoder.header.photometric or not same:
            raise NotSanitizable("A masked frame cannot be encoded again without a change to other pixels")
        return written

    def _painted_native(self, raw: memoryview, value: npt.NDArray[Any], _: list[Stored], mask: Mask) -> _Written:
        painted = paint_native(raw, mask.whole(), value, self.recoder.header)
        return _Written(painted, *self.recoder.decode(memoryview(painted)))

    def _patched(
        self, number: int, stored: Stored, photometric: str, value: npt.NDArray[Any], mask: Mask
    ) -> Iterator[Picture]:
        """What is seen of a frame whose bytes are painted only while they are written."""
        return renderings(self.pixels, number, stored, photometric, self.looks, patch=Patch(mask, value))

    def _seen_clean(self, mask: Mask, show: Callable[[Mask], Iterable[Picture]]) -> Mask:
        """A frame's mask, with what a look at the masked frame adds to it.

        Args:
            mask: The first one.
            show: What is seen of the frame, as it is written, with a mask.

        Raises:
            NotSanitizable: Text is left after the last mask that is tried.
        """
        pictures = show(mask)
        key = b""
        if self.looks.again and self.pixels.source.header.frames > 1:
            pictures = looked = [picture[:, :] for picture in pictures]
            key = digest(mask.bits, *looked)
        if (settled := self._settled.get(key)) is not None:
            mask = settled
        elif self.looks.again:
            for _ in range(MOST_MASKS):
                more = self.surveyor.mask(pictures, self.looks, self.tally, masked=mask)
                if more is None:
                    break
                mask |= more
                pictures = show(mask)
            else:
                raise NotSanitizable("Text is still found in a frame after it was masked several times")
            if key:
                self._settled[key] = mask
        self.tally.share = max(self.tally.share, mask.share)
        return mask


class _Painting:
    """One frame painted and written, with one mask after another. Only the last is kept."""

    def __init__(
        self, rewrite: Rewrite, number: int, write: Callable[[list[Stored], Mask], _Written], stored: list[Stored]
    ) -> None:
        self._rewrite = rewrite
        self._stored = stored  # the frame as it was last written; handed over to be painted, and freed
        self._number = number
        self._write = write
        self._mask: Mask | None = None
        self._written: _Written | None = None

    def show(self, mask: Mask) -> Iterator[Picture]:
        """What is seen of it."""
        written = self._as_written(mask)
        rewrite = self._rewrite
        return renderings(rewrite.pixels, self._number, written.stored, written.photometric, rewrite.looks)

    def data(self, mask: Mask) -> bytes | bytearray | memoryview:
        """Its bytes. The last that is asked of it: what a reader decodes them to is no longer held."""
        written = self._as_written(mask)
        self._written = None
        return written.data

    def _as_written(self, mask: Mask) -> _Written:
        if self._written is None or self._mask is None or not np.array_equal(self._mask.bits, mask.bits):
            if self._written is not None and self._stored is not None:
                self._stored = [self._written.stored]  # a mask only grows, so what was painted is painted on
            self._written = None  # two of a large frame are too many
            self._written, self._mask = self._write(self._stored, mask), mask
        return self._written


class _Written(NamedTuple):
    """A frame as it is written, and what a reader decodes it to."""

    data: bytes | bytearray | memoryview
    stored: Stored
    photometric: str


def _mark(stored: Stored) -> tuple[tuple[int, ...], str, bytes]:
    """What two frames of the same values have in common."""
    little = stored.astype(stored.dtype.newbyteorder("<"), copy=False)
    return stored.shape, little.dtype.str, digest(little)
