"""Step 3 of 7: the pixels of a whole DICOM object: looked at, masked as they are stored, ready to be written.

Frames are decoded one at a time, twice if something is to be masked: once to find where, once to write. If nothing is,
they keep their bytes.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gateway.deid.describe import describe
from gateway.deid.raster import RasterCleaner
from gateway.deid.rewrite import Rewrite
from gateway.deid.risk import Risk, risk
from gateway.deid.strip import strip_jpeg, strip_jpeg2000
from gateway.deid.survey import Surveyor, Tally
from gateway.deid.templates import ultrasound_regions
from gateway.deid.write import PixelValue, fragments
from gateway.errors import NotSanitizable
from gateway.ingest.mask import Mask
from gateway.ingest.values import first

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydicom.dataset import Dataset

    from gateway.deid.look import Look
    from gateway.deid.pixel_policy import PixelPolicy
    from gateway.deid.templates import Box, Templates
    from gateway.ingest.header import PixelHeader
    from gateway.ingest.mask import Cover
    from gateway.ingest.object import IdentifiableObject
    from gateway.ingest.stored import StoredPixels

_OPAQUE = {
    0x00420011: "an encapsulated document",
    0x56000020: "spectroscopy data",
}
_HIGH_BIT, _BITS_STORED, _MODALITY = 0x00280102, 0x00280101, 0x00080060


@dataclass(frozen=True, slots=True, eq=False)
class CleanPixels:
    """Pixels as they are to be written, and what was done to them.

    Attributes:
        value: For the writer; None for an object without pixels.
        tally: What was looked at and masked; complete when the object is written.
        risk: The object's class; empty without pixels.
        templates: Names of the templates that held.
        complete: Every frame was looked at.
        rewrite: How frames were changed; None if they were not.
        pixels: As they came; None without.
    """

    value: PixelValue | None = field(repr=False)
    tally: Tally
    risk: Risk | None = None
    templates: tuple[str, ...] = ()
    complete: bool = False
    rewrite: Rewrite | None = field(default=None, repr=False)
    pixels: StoredPixels | None = field(default=None, repr=False)

    def describe(self, target: Dataset) -> None:
        """Make the attributes of the de-identified data set, file meta included, say what the pixels are now."""
        if self.pixels is not None:
            describe(target, self.pixels.source, None if self.rewrite is None else self.rewrite.recoder)

    @property
    def recoded(self) -> str:
        """Name of the transfer syntax in which masked frames were encoded; empty if they keep their bytes."""
        return "" if self.rewrite is None else self.rewrite.recoder.syntax.name


class ObjectCleaner:
    """Cleans the pixels of whole objects by one policy; ``raster`` those of a JPEG or PNG."""

    def __init__(self, policy: PixelPolicy, templates: Templates, look: Look) -> None:
        self._policy = policy
        self._templates = templates
        self._surveyor = Surveyor(policy, look)
        self.raster = RasterCleaner(policy, self._surveyor).clean

    def pixels(self, found: IdentifiableObject) -> CleanPixels:
        """Of a DICOM object.

        Raises:
            NotSanitizable: It holds what cannot be looked into, more text than may be masked, or text that stays.
            Unreadable: A frame cannot be decoded.
        """
        dataset, pixels = found.dataset, found.pixels
        assert dataset is not None
        for tag, what in _OPAQUE.items():
            if tag in dataset:
                raise NotSanitizable(f"The object holds {what} ({_name(tag)}), which is not looked into")
        if pixels is None:
            return CleanPixels(None, Tally())
        tally = Tally()
        if not self._policy.look:
            return CleanPixels(_as_they_are(pixels), tally, pixels=pixels)
        if (high := first(dataset, _HIGH_BIT)) is not None and high != pixels.source.header.bits_stored - 1:
            raise NotSanitizable(
                f"High Bit ({_name(_HIGH_BIT)}) is not one less than Bits Stored ({_name(_BITS_STORED)})"
            )
        level = risk(dataset)
        looks = getattr(self._policy.whole, level)
        names, always = self._always(dataset, pixels.source.header)
        survey = self._surveyor.survey(pixels, looks, always, tally)
        if not survey.changes:
            return CleanPixels(_as_they_are(pixels), tally, level, names, complete=True, pixels=pixels)
        rewrite = Rewrite(pixels, survey, looks, self._surveyor, tally)
        return CleanPixels(rewrite.value(), tally, level, names, complete=True, rewrite=rewrite, pixels=pixels)

    def _always(self, dataset: Dataset, header: PixelHeader) -> tuple[tuple[str, ...], Mask | None]:
        """What is masked whatever is found: names of templates, and the mask."""
        names, boxes = self._templates.of(dataset)
        cover = _boxes(boxes, header) if boxes else None
        if self._policy.whole.outside_ultrasound == "mask" and first(dataset, _MODALITY) == "US":
            inside = ultrasound_regions(dataset)
            if inside:
                outside = ~_boxes(inside, header)
                cover = outside if cover is None else cover | outside
                names = (*names, "outside-ultrasound-regions")
        if cover is None or not cover.any():
            return (), None
        return names, Mask.of(cover)


def _boxes(boxes: Iterable[Box], header: PixelHeader) -> Cover:
    cover = np.zeros((header.rows, header.columns), np.bool_)
    for left, top, right, bottom in boxes:
        cover[top:bottom, left:right] = True
    return cover


def _as_they_are(pixels: StoredPixels) -> PixelValue:
    """The frames' own bytes, without what is not picture."""
    source, tag = pixels.source, pixels.element.tag
    if not source.syntax.encapsulated:
        length = (source.header.frame_bits * source.header.frames + 7) // 8
        # In 8-bit words written big endian the pad byte stands before the last pixel.
        length += length % 2 if not source.syntax.little_endian else 0
        return PixelValue((memoryview(source.value)[:length],), source.vr, encapsulated=False, tag=tag)
    return PixelValue(fragments(_stripped(pixels)), source.vr, encapsulated=True, tag=tag)


def _stripped(pixels: StoredPixels) -> Iterator[bytes | memoryview]:
    codec = pixels.source.syntax.codec
    for found in pixels.encoded():
        if codec == "rle":
            yield found
            continue
        frame = bytes(found)
        if codec == "jpeg":
            yield strip_jpeg(frame)
        elif codec == "jpeg-ls":
            yield strip_jpeg(frame, lossless_ls=True)
        elif codec == "jpeg-2000":
            yield strip_jpeg2000(frame)
        elif codec == "deflated-frame":
            yield _deflated(frame)
        else:
            yield frame


def _deflated(frame: bytes) -> bytes:
    """A deflate stream up to its end. It was decoded before, or is not looked at."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    pending = frame
    while pending and not stream.eof:
        stream.decompress(pending, 2**20)
        pending = stream.unconsumed_tail
    return frame[: len(frame) - len(stream.unused_data)]


def _name(tag: int) -> str:
    return f"{tag >> 16:04X},{tag & 0xFFFF:04X}"
