"""Step 2 of 7: the step itself. Bytes in, an image that may still identify a patient out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.ingest.dicom import read_dicom, read_object
from gateway.ingest.guard import silence
from gateway.ingest.raster import read_raster, read_raster_object
from gateway.ingest.sniff import check_declared, sniff
from gateway.ingest.upload import MediaType

if TYPE_CHECKING:
    from gateway.ingest.frames import FrameSelection
    from gateway.ingest.image import IdentifiableImage
    from gateway.ingest.object import IdentifiableObject
    from gateway.ingest.upload import Upload
    from gateway.settings import IngestSettings


@silence()
def decode(
    upload: Upload, frames: FrameSelection, limits: IngestSettings, least: int | None = None
) -> IdentifiableImage:
    """Read an upload by what its bytes are.

    Its header is read, its structure and its sizes are checked here; its pixels are decoded frame by frame, by the
    image's ``render``, which raises the same errors.

    Args:
        upload: The bytes, and the media type that they were declared to be.
        frames: Which frames are wanted.
        limits: Bounds on one file.
        least: Pixels that a picture must keep in height and in width; a JPEG may then be decoded smaller than it is.

    Raises:
        UnsupportedMediaType: Not DICOM, JPEG or PNG, or not what it was declared to be.
        CallerError: UnsafeFile, Unreadable, UnsupportedTransferSyntax, NoPixels, ImageTooLarge or InvalidParameter.
        MemoryError: As it comes; the worker names it.
    """
    found = sniff(upload.data)
    check_declared(upload.declared, found)
    if found is MediaType.DICOM:
        return read_dicom(upload.data, frames, limits)
    return read_raster(upload.data, found, frames, limits, least)


@silence()
def decode_object(upload: Upload, limits: IngestSettings) -> IdentifiableObject:
    """Read an upload whole, to give it back: all frames, as they are stored, or an object without any.

    Args:
        upload: The bytes, and the media type that they were declared to be.
        limits: Bounds on one file.

    Raises:
        UnsupportedMediaType: Not DICOM, JPEG or PNG, or not what it was declared to be.
        CallerError: UnsafeFile, Unreadable, UnsupportedTransferSyntax or ImageTooLarge; NoPixels for a DICOMDIR.
        MemoryError: As it comes; the worker names it.
    """
    found = sniff(upload.data)
    check_declared(upload.declared, found)
    if found is MediaType.DICOM:
        return read_object(upload.data, limits)
    return read_raster_object(upload.data, found, limits)
