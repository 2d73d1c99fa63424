"""DICOM files made byte by byte, so that a test can break any rule of the format."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom.data

from gateway.ingest.decode import decode
from gateway.ingest.frames import FrameSelection
from gateway.ingest.upload import Upload
from gateway.settings import IngestSettings

if TYPE_CHECKING:
    import numpy as np

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"
DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"
UNDEFINED = 0xFFFFFFFF
_LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}


def element(tag: int, vr: str, value: bytes, *, length: int | None = None) -> bytes:
    """An explicit VR little endian data element; ``length`` may lie."""
    padded = value + b"\0" * (len(value) % 2)
    declared = len(padded) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    size = struct.pack("<HL", 0, declared) if vr in _LONG else struct.pack("<H", declared)
    return head + size + padded


def implicit(tag: int, value: bytes, *, length: int | None = None) -> bytes:
    declared = len(value) if length is None else length
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, declared) + value


def item(value: bytes, *, length: int | None = None) -> bytes:
    return implicit(0xFFFEE000, value, length=length)


SEQUENCE_END = implicit(0xFFFEE0DD, b"")
ITEM_END = implicit(0xFFFEE00D, b"")


def us(tag: int, *values: int) -> bytes:
    return element(tag, "US", struct.pack(f"<{len(values)}H", *values))


def text(tag: int, vr: str, value: str) -> bytes:
    return element(tag, vr, value.encode() + b" " * (len(value) % 2))


def file(dataset: bytes, syntax: str = EXPLICIT_LITTLE, *, preamble: bytes = b"", meta: bytes = b"") -> bytes:
    """A Part 10 file. ``meta`` goes between the preamble and the transfer syntax."""
    uid = syntax.encode()
    return preamble.ljust(128, b"\0") + b"DICM" + meta + element(0x00020010, "UI", uid) + dataset


def attributes(
    rows: int,
    columns: int,
    *,
    frames: int | None = None,
    samples: int = 1,
    photometric: str = "MONOCHROME2",
    allocated: int = 8,
    stored: int | None = None,
    signed: int = 0,
    planar: int | None = None,
    more: bytes = b"",
) -> bytes:
    """Group 0028 of an image, in tag order; ``more`` comes behind it."""
    stored = allocated if stored is None else stored
    return b"".join(
        [
            us(0x00280002, samples),
            text(0x00280004, "CS", photometric),
            b"" if planar is None else us(0x00280006, planar),
            b"" if frames is None else text(0x00280008, "IS", str(frames)),
            us(0x00280010, rows),
            us(0x00280011, columns),
            us(0x00280100, allocated),
            us(0x00280101, stored),
            us(0x00280102, stored - 1),
            us(0x00280103, signed),
            more,
        ]
    )


def native(array: np.ndarray, **header: object) -> bytes:
    """An explicit VR little endian image file of one frame, or of several if the array says ``frames``."""
    size = array.dtype.itemsize
    known = {
        "rows": array.shape[0],
        "columns": array.shape[1],
        "allocated": 8 * size,
        "signed": array.dtype.kind == "i",
    }
    if array.ndim == 3:
        known |= {"samples": 3, "photometric": "RGB", "planar": 0}
    pixels = element(0x7FE00010, "OW" if size > 1 else "OB", array.astype(array.dtype.newbyteorder("<")).tobytes())
    return file(attributes(**(known | header)) + pixels)


def encapsulated(frames: list[bytes], *, table: bytes = b"") -> bytes:
    """Pixel Data of one fragment a frame."""
    fragments = b"".join(item(frame + b"\0" * (len(frame) % 2)) for frame in frames)
    return element(0x7FE00010, "OB", item(table) + fragments + SEQUENCE_END, length=UNDEFINED)


def sample(name: str) -> bytes:
    """A file that lies in the pydicom wheel."""
    path = pydicom.data.get_testdata_file(name, download=False)
    assert isinstance(path, str), name
    return Path(path).read_bytes()


def shown(data: bytes, frames: str = "all", **limits: int) -> list[np.ndarray]:
    """Decode and render the chosen frames."""
    image = decode(Upload(data), FrameSelection.parse(frames), IngestSettings(**limits))
    return [frame for _, frame in image.frames()]
