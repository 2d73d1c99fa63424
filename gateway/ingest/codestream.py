"""Step 2 of 7: the size that a compressed frame declares in its own first bytes, read before a decoder believes it.

JPEG and JPEG-LS: the frame header (ITU-T T.81 B.2.2, T.87 C.2.2). JPEG 2000: SIZ (ITU-T T.800 A.5.1). A frame that says
otherwise than the DICOM header is a bomb or a mistake, and is refused either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from gateway.errors import Unreadable, UnsafeFile

_SOC_SIZ = b"\xff\x4f\xff\x51"
_JP2 = b"\0\0\0\x0cjP  "
_SIZ = Struct(">2xHHLLLLLLLLH")
_SOF = Struct(">BHHB")
_NO_SOF = frozenset({0xC4, 0xC8, 0xCC})
_MAX_MARKERS = 1000


@dataclass(frozen=True, slots=True)
class FrameSize:
    """What a codestream declares.

    Attributes:
        rows, columns, components: Its dimensions.
        precision: Bits of a sample.
        process: Low byte of a JPEG's SOF marker (0xC3 is lossless, 0xF7 is JPEG-LS); 0 for JPEG 2000.
        jfif: Whether a JPEG has a JFIF segment, which makes three components YCbCr.
        adobe: Colour transform of a JPEG's Adobe segment; None without one.
        component_ids: Of a JPEG.
    """

    rows: int
    columns: int
    components: int
    precision: int
    process: int = 0
    jfif: bool = False
    adobe: int | None = None
    component_ids: bytes = b""


def jpeg_size(frame: bytes | memoryview) -> FrameSize:
    """Of a JPEG or JPEG-LS codestream. Raises Unreadable if it has no frame header."""
    if frame[:2] != b"\xff\xd8":
        raise Unreadable("A frame does not begin as its transfer syntax requires")
    position, jfif, adobe = 2, False, None
    for _ in range(_MAX_MARKERS):
        while frame[position : position + 2] == b"\xff\xff":
            position += 1  # fill bytes
        if len(frame) < position + 4 or frame[position] != 0xFF:
            break
        marker, length = frame[position + 1], int.from_bytes(frame[position + 2 : position + 4], "big")
        body = bytes(frame[position + 4 : position + 2 + length])
        is_sof = 0xC0 <= marker <= 0xCF and marker not in _NO_SOF
        if is_sof or marker == 0xF7:
            if len(body) < _SOF.size:
                break
            precision, rows, columns, components = _SOF.unpack_from(body)
            ids = body[_SOF.size :: 3][:components]
            return FrameSize(rows, columns, components, precision, marker, jfif, adobe, ids)
        if length < 2 or marker == 0xDA:
            break
        jfif = jfif or (marker == 0xE0 and body.startswith(b"JFIF\0"))
        if marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        position += 2 + length
    raise Unreadable("A compressed frame has no frame header")


def is_ended(frame: bytes | memoryview) -> bool:
    """Whether the last scan of a JPEG-LS codestream is followed by EOI: within one neither marker occurs."""
    data = bytes(frame)
    return data.rfind(b"\xff\xd9") >= data.rfind(b"\xff\xda")


def jpeg2000_size(frame: bytes | memoryview) -> FrameSize:
    """Of a JPEG 2000 codestream, bare (as PS3.5 A.4.4 requires) or in a JP2 file. Raises Unreadable without a SIZ."""
    start = _jp2_codestream(frame) if frame[: len(_JP2)] == _JP2 else 0
    if frame[start : start + 4] != _SOC_SIZ or len(frame) < start + 4 + _SIZ.size + 3:
        raise Unreadable("A frame does not begin as its transfer syntax requires")
    _, _, width, height, x, y, tile_width, tile_height, _, _, components = _SIZ.unpack_from(frame, start + 2)
    if tile_width == 0 or tile_height == 0:
        raise Unreadable("A compressed frame has no tiles")
    precision = (frame[start + 4 + _SIZ.size - 2] & 0x7F) + 1
    return FrameSize(max(height - y, 0), max(width - x, 0), components, precision)


def _jp2_codestream(frame: bytes | memoryview) -> int:
    """Where the ``jp2c`` box's contents begin (ITU-T T.800 Annex I)."""
    position = 0
    for _ in range(_MAX_MARKERS):
        length, kind = int.from_bytes(frame[position : position + 4], "big"), frame[position + 4 : position + 8]
        if kind == b"jp2c":
            return position + 8
        if length < 8:
            break
        position += length
    raise Unreadable("A compressed frame has no codestream")


def check_size(found: FrameSize, rows: int, columns: int, samples: int, bits_allocated: int) -> None:
    """Raises UnsafeFile if a codestream declares another size than the DICOM header."""
    if (found.rows, found.columns, found.components) != (rows, columns, samples):
        raise UnsafeFile("A compressed frame declares other dimensions than Rows, Columns and Samples per Pixel")
    if found.precision > max(bits_allocated, 8):
        raise UnsafeFile("A compressed frame declares more bits a sample than Bits Allocated")
