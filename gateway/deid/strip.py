"""Step 3 of 7: compressed frames without what is not picture: comments, application segments, bytes behind the end.

JPEG and JPEG-LS (ITU-T T.81 B.1.1, T.87 C.1): only the segments that decoding needs go on, with what JFIF, Adobe and HP
say of the colours. JPEG 2000 (ITU-T T.800 A): the bare codestream goes on; comments in it are overwritten, not cut out,
because other segments state lengths that they count into.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.errors import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_NEEDED = frozenset({*range(0xC0, 0xC8), *range(0xC9, 0xD0), _SOS, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 0xF7, 0xF8})
"""SOF, DHT, DAC, SOS, DQT, DNL, DRI, DHP, EXP; SOF55 and LSE of JPEG-LS."""
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_MARKER_LS = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
_JFIF, _ADOBE, _HP = 0xE0, 0xEE, 0xE8

_SOC, _SOT, _SOD, _EOC, _COM = 0xFF4F, 0xFF90, 0xFF93, 0xFFD9, 0xFF64
_IN_HEADERS = frozenset({
    0xFF50, 0xFF51, 0xFF52, 0xFF53, 0xFF55, 0xFF56, 0xFF57, 0xFF58, 0xFF59, 0xFF5C, 0xFF5D, 0xFF5E, 0xFF5F, 0xFF60,
    0xFF61, 0xFF63, _COM,
})  # fmt: skip
_MOST_PARTS = 1_000_000


def strip_jpeg(data: bytes, *, lossless_ls: bool = False) -> bytes:
    """A JPEG or JPEG-LS codestream without metadata.

    Args:
        data: From SOI on.
        lossless_ls: It is JPEG-LS, which stuffs bits and not bytes.

    Raises:
        Unreadable: It is no such codestream, or breaks off before the picture.
    """
    return b"".join(_jpeg_parts(data, _MARKER_LS if lossless_ls else _MARKER))


def _jpeg_parts(data: bytes, marker_in_scan: re.Pattern[bytes]) -> Iterator[bytes | memoryview]:
    if data[:2] != b"\xff\xd8":
        raise Unreadable("A frame does not begin as its transfer syntax requires")
    view, position = memoryview(data), 2
    yield b"\xff\xd8"
    while True:
        while data[position : position + 2] == b"\xff\xff":
            position += 1  # fill bytes
        if position + 2 > len(data) or data[position] != 0xFF:
            raise Unreadable("A compressed frame breaks off")
        marker = data[position + 1]
        if marker == _EOI:
            yield b"\xff\xd9"
            return
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        end = position + 2 + length
        if length < 2 or end > len(data):
            raise Unreadable("A compressed frame breaks off")
        if marker in _NEEDED:
            yield view[position:end]
        else:
            yield _said_of_colour(marker, data[position + 4 : end])
        position = end
        if marker == _SOS:
            found = marker_in_scan.search(data, position)
            if found is None:  # cut off within the picture, which many decoders take
                yield view[position:]
                yield b"\xff\xd9"
                return
            yield view[position : found.start()]
            position = found.start()


def _said_of_colour(marker: int, body: bytes) -> bytes:
    """The part of an application segment that decoding needs: no thumbnail, nothing behind its fields."""
    if marker == _JFIF and body.startswith(b"JFIF\0") and len(body) >= 14:
        return b"\xff\xe0\x00\x10" + body[:12] + b"\0\0"
    if marker == _ADOBE and body.startswith(b"Adobe") and len(body) >= 12:
        return b"\xff\xee\x00\x0e" + body[:12]
    if marker == _HP and body.startswith(b"mrfx") and len(body) >= 5:
        return b"\xff\xe8\x00\x07" + body[:5]
    return b""


def strip_jpeg2000(data: bytes) -> bytes:
    """A bare JPEG 2000 codestream with its comments overwritten by zeros.

    Raises:
        Unreadable: It is no such codestream, has no end, or has segments whose meaning is not known.
    """
    start = 0 if data[:2] == b"\xff\x4f" else data.find(b"jp2c\xff\x4f\xff\x51") + 4
    if data[start : start + 2] != b"\xff\x4f":
        raise Unreadable("A frame does not begin as its transfer syntax requires")
    out = bytearray(data[start:])
    position = _blank(out, 2, _SOT)
    for _ in range(_MOST_PARTS):
        if position == len(out) or out[position : position + 2] == b"\xff\xd9":
            return bytes(out[:position]) + b"\xff\xd9"
        if out[position : position + 2] != b"\xff\x90" or position + 12 > len(out):
            break
        length = int.from_bytes(out[position + 6 : position + 10], "big")
        body = _blank(out, position + 12, _SOD)
        if length == 0:  # the last one, up to the end
            end = out.rfind(b"\xff\xd9")
            return bytes(out[: end + 2] if end >= body else out + b"\xff\xd9")
        if length < 14:
            break
        position = min(position + length, len(out))
    raise Unreadable("A compressed frame breaks off")


def _blank(out: bytearray, position: int, end: int) -> int:
    """Overwrite the comments of one header, which ends before the marker ``end``; the position of that."""
    while position + 4 <= len(out):
        marker = int.from_bytes(out[position : position + 2], "big")
        if marker == end:
            return position
        length = int.from_bytes(out[position + 2 : position + 4], "big")
        if marker not in _IN_HEADERS or length < 2 or position + 2 + length > len(out):
            break
        if marker == _COM:
            out[position + 6 : position + 2 + length] = bytes(max(length - 4, 0))
        position += 2 + length
    raise Unreadable("A compressed frame has a header that is not understood")
