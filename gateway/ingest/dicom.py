"""Step 2 of 7: a DICOM file becomes an image, or an object, whose frames are decoded one by one, when asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gateway.errors import ImageTooLarge, NoPixels
from gateway.ingest.codecs import PixelSource
from gateway.ingest.guard import fence
from gateway.ingest.header import PixelHeader
from gateway.ingest.image import IdentifiableImage, StoredSize
from gateway.ingest.modality import body_part, modality
from gateway.ingest.object import IdentifiableObject
from gateway.ingest.part10 import read_file
from gateway.ingest.photometric import Display
from gateway.ingest.stored import StoredPixels
from gateway.ingest.upload import MediaType
from gateway.ingest.values import first

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from gateway.ingest.frames import FrameSelection
    from gateway.ingest.image import DisplayFrame
    from gateway.settings import IngestSettings

OFFSETS, OFFSET_LENGTHS = 0x7FE00001, 0x7FE00002


def read_dicom(data: bytes, frames: FrameSelection, limits: IngestSettings) -> IdentifiableImage:
    """Read the header and check what it says of the pixels. Nothing is decoded before a frame is rendered.

    Raises:
        CallerError: By part10.py, header.py, frames.py, codecs.py; each names the tag or the limit.
        NoPixels: There is no pixel data.
    """
    file = read_file(data, limits)
    if file.pixels is None:
        raise NoPixels("The instance has no pixel data (7FE0,0010)")
    with fence("The pixel attributes cannot be read"):
        header = PixelHeader.read(file.dataset, file.pixels)
        numbers = frames.resolve(header.frames, limits.max_frames)
        header.check_limits(len(numbers), limits)
        source = PixelSource.of(file.data, file.pixels, header, file.syntax, _offsets(file.dataset))
        display = Display.read(file.dataset, header, numbers, little_endian=file.syntax.little_endian)
        term, part = modality(file.dataset), body_part(file.dataset)
    return IdentifiableImage(
        media_type=MediaType.DICOM,
        dataset=file.dataset,
        frame_numbers=numbers,
        total_frames=header.frames,
        modality=term,
        body_part=part,
        render=partial(_render, source, display),
        stored=StoredSize(header.rows, header.columns),
    )


def read_object(data: bytes, limits: IngestSettings) -> IdentifiableObject:
    """Read a whole object, with or without pixels. No frame is decoded before it is asked for.

    Raises:
        CallerError: As by ``read_dicom``, but for the lack of pixels.
    """
    file = read_file(data, limits)
    with fence("The pixel attributes cannot be read"):
        term = modality(file.dataset)
        if file.pixels is None:
            return IdentifiableObject(MediaType.DICOM, file.dataset, None, None, 0, term)
        header = PixelHeader.read(file.dataset, file.pixels)
        if header.frames > limits.max_frames:
            most = limits.max_frames
            raise ImageTooLarge(f"The object has more than the {most} frames that are taken at once", limit=most)
        header.check_limits(1, limits)
        if header.rows * header.columns * header.frames > (most := limits.max_total_pixels):
            raise ImageTooLarge(f"The object has more than {most} pixels", limit=most)
        source = PixelSource.of(file.data, file.pixels, header, file.syntax, _offsets(file.dataset))
        numbers = range(1, header.frames + 1)
        display = Display.read(file.dataset, header, numbers, little_endian=file.syntax.little_endian)
    pixels = StoredPixels(file.pixels, source, display)
    return IdentifiableObject(MediaType.DICOM, file.dataset, pixels, None, header.frames, term)


def _render(source: PixelSource, display: Display, number: int) -> DisplayFrame:
    with fence("A frame cannot be decoded"):
        stored, photometric = source.decode(number)
        return display.render(number, stored, photometric)


def _offsets(dataset: Dataset) -> tuple[bytes, bytes] | None:
    table, lengths = first(dataset, OFFSETS), first(dataset, OFFSET_LENGTHS)
    if not isinstance(table, bytes) or not isinstance(lengths, bytes) or len(table) != len(lengths):
        return None
    return table, lengths
