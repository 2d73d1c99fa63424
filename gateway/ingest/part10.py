"""Step 2 of 7: the DICOM file format around a data set (PS3.10 §7): preamble, file meta, and what inflates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset, FileMetaDataset

from gateway.errors import NoPixels, Unreadable
from gateway.ingest.guard import fence
from gateway.ingest.inflate import inflate
from gateway.ingest.settle import settle
from gateway.ingest.sniff import PREAMBLE
from gateway.ingest.structure import Encoding, PixelElement, encoding_seen, read_structure
from gateway.ingest.syntax import TransferSyntax, transfer_syntax

if TYPE_CHECKING:
    from gateway.settings import IngestSettings

_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_EXPLICIT_LITTLE = Encoding(implicit=False, little_endian=True)
_EXPLICIT_BIG = Encoding(implicit=False, little_endian=False)
_DIRECTORY_RECORDS = 0x00041220


@dataclass(frozen=True, slots=True, eq=False)
class DicomFile:
    """A DICOM file, read and not yet decoded.

    Attributes:
        dataset: Every element before the pixels, values converted; ``file_meta`` is set on it. No preamble.
        syntax: Its transfer syntax.
        data: The bytes that ``pixels`` points into: the file's, or the inflated data set's.
        pixels: Where the pixels are; None if there are none.
    """

    dataset: Dataset = field(repr=False)
    syntax: TransferSyntax
    data: bytes = field(repr=False)
    pixels: PixelElement | None


def read_file(data: bytes, limits: IngestSettings) -> DicomFile:
    """Read a DICOM file up to its pixels.

    Raises:
        UnsafeFile, ImageTooLarge: By structure.py and inflate.py.
        UnsupportedTransferSyntax: See syntax.py.
        NoPixels: A media directory (DICOMDIR): names and paths of many patients, and no image.
        Unreadable: No transfer syntax is named, or the file breaks off.
    """
    with fence("The file meta information cannot be read"):
        meta = read_structure(data, PREAMBLE + 4, _EXPLICIT_LITTLE, limits, file_meta=True)
        file_meta = FileMetaDataset(meta.dataset)
        settle(file_meta)
        if file_meta.get("MediaStorageSOPClassUID") == _MEDIA_DIRECTORY:
            raise NoPixels("A media storage directory (DICOMDIR) is not an image")
        uid = file_meta.get("TransferSyntaxUID")
        if not uid:
            raise Unreadable("The file meta names no transfer syntax (0002,0010)")
        syntax = transfer_syntax(str(uid))

    body, start = data, meta.end
    if syntax.deflated:
        stream = memoryview(data)[meta.end :]
        body, start = inflate(stream, limit=limits.max_inflated_bytes, ratio=limits.max_inflate_ratio), 0
    with fence("The data set cannot be read"):
        encoding = encoding_seen(body, start) if syntax.little_endian else _EXPLICIT_BIG
        found = read_structure(body, start, encoding, limits)
        dataset = found.dataset
        settle(dataset)
        if _DIRECTORY_RECORDS in dataset:
            raise NoPixels("A media storage directory (DICOMDIR) is not an image")
        dataset.file_meta = file_meta
    return DicomFile(dataset, syntax, body, found.pixels)
