"""Step 2 of 7: which metadata segments a JPEG or PNG carries: kinds and counts, never a value.

JPEG: markers (ITU-T T.81 B.1.1). PNG: chunks (W3C PNG, third edition, §11). None of them outlives decoding; the counts
go into the de-identification report.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from gateway.errors import UnsafeFile
from gateway.ingest.upload import MediaType

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SEGMENTS = 50_000
"""Of a 25-megapixel PNG written in chunks of 8 KiB there are a tenth of that."""

_JPEG_KINDS = (
    (0xE1, b"Exif\0", "exif"),
    (0xE1, b"http://ns.adobe.com/x", "xmp"),
    (0xE2, b"ICC_PROFILE\0", "icc"),
    (0xE2, b"MPF\0", "mpf"),
    (0xED, b"Photoshop 3.0\0", "iptc"),
    (0xE0, b"JFXX\0", "thumbnail"),
)
_JPEG_STRUCTURE = ((0xE0, b"JFIF\0"), (0xEE, b"Adobe"))
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
MAX_SCANS = 100
"""Of a JPEG. A progressive one has about ten; each runs over the whole image, so thousands of empty ones are a bomb."""
_EOI, _SOS, _COM = 0xD9, 0xDA, 0xFE

_PNG_KINDS = {b"eXIf": "exif", b"iCCP": "icc", b"tIME": "time", b"tEXt": "text", b"zTXt": "text", b"iTXt": "text"} | {
    b"acTL": "animation",
    b"fcTL": "animation",
    b"fdAT": "animation",
}
_PNG_STRUCTURE = frozenset({b"cHRM", b"gAMA", b"sBIT", b"sRGB", b"cICP", b"bKGD", b"hIST", b"tRNS", b"pHYs", b"sPLT"})
_PNG_TEXTS = (
    (b"XML:com.adobe.xmp\0", "xmp"),
    (b"Raw profile type exif\0", "exif"),
    (b"Raw profile type APP1\0", "exif"),
    (b"Raw profile type iptc\0", "iptc"),
    (b"Raw profile type xmp\0", "xmp"),
)


def metadata_segments(data: bytes, media_type: MediaType) -> dict[str, int]:
    """Count the segments of each kind.

    Kinds: exif, xmp, icc, iptc, mpf, comment, text, time, thumbnail, animation, application, other, trailing.
    A broken end ends the count; decoding will say what is wrong.

    Raises:
        UnsafeFile: More than ``MAX_SEGMENTS``, or ``MAX_SCANS``.
    """
    found: Counter[str] = Counter()
    for number, kind in enumerate(_jpeg(data) if media_type is MediaType.JPEG else _png(data), start=1):
        if number > MAX_SEGMENTS:
            raise UnsafeFile(f"The image has more than {MAX_SEGMENTS} segments")
        if kind:
            found[kind] += 1
    return dict(found)


def _jpeg(data: bytes) -> Iterator[str]:
    position, scans = 2, 0
    while (match := _NEXT_MARKER.search(data, position)) is not None:
        marker, start = data[match.start() + 1], match.end()
        if marker == _EOI:
            if data[start:].strip(b"\0"):
                yield "trailing"
            return
        scans += marker == _SOS
        if scans > MAX_SCANS:
            raise UnsafeFile(f"The JPEG has more than {MAX_SCANS} scans")
        length = int.from_bytes(data[start : start + 2], "big")
        yield _jpeg_kind(marker, data[start + 2 : start + min(length, 64)])
        position = start + max(length, 2)  # behind SOS the search runs over the entropy-coded bytes


def _jpeg_kind(marker: int, body: bytes) -> str:
    if marker == _COM:
        return "comment"
    if not 0xE0 <= marker <= 0xEF or any(marker == m and body.startswith(start) for m, start in _JPEG_STRUCTURE):
        return ""
    return next((kind for m, start, kind in _JPEG_KINDS if m == marker and body.startswith(start)), "application")


def _png(data: bytes) -> Iterator[str]:
    position = 8
    while position + 8 <= len(data):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        position += 12 + length
        if kind == b"IEND":
            if data[position:]:
                yield "trailing"
            return
        yield _png_kind(kind, data[position - 4 - length : position - 4 - length + min(length, 64)])


def _png_kind(kind: bytes, body: bytes) -> str:
    if kind in (b"tEXt", b"zTXt", b"iTXt"):
        return next((name for start, name in _PNG_TEXTS if body.startswith(start)), "text")
    if kind in _PNG_STRUCTURE or not kind[:1].islower():  # critical chunks begin with a capital
        return ""
    return _PNG_KINDS.get(kind, "other")
