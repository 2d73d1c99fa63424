"""Step 2 of 7: inflate with a bound. ``zlib.decompress`` has none: 195 kB can become 200 MB."""

from __future__ import annotations

import zlib
from io import BytesIO

from gateway.errors import Unreadable, UnsafeFile

_PIECE = 2**20
ALWAYS_ALLOWED = 2**20
"""Bytes that may come out whatever the ratio: a small blank image deflates a thousandfold."""


def inflate(data: bytes | memoryview, *, limit: int, ratio: int) -> bytes:
    """Inflate a raw deflate stream (RFC 1951; PS3.5 A.5). Bytes after its end are ignored.

    Args:
        data: The stream.
        limit: Most bytes that may come out.
        ratio: Most bytes that may come out for one byte that goes in.

    Raises:
        UnsafeFile: More would come out.
        Unreadable: Not a deflate stream, or it has no end.
    """
    most = min(limit, max(ratio * len(data), ALWAYS_ALLOWED))
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    out = BytesIO()
    try:
        # Piece by piece: zlib itself holds all of them twice when it joins them.
        for at in range(0, len(data), _PIECE):
            pending: bytes | memoryview = data[at : at + _PIECE]
            while pending and out.tell() <= most and not stream.eof:
                out.write(stream.decompress(pending, _PIECE))
                pending = stream.unconsumed_tail
        while out.tell() <= most and (rest := stream.decompress(b"", _PIECE)):
            out.write(rest)
    except zlib.error:
        raise Unreadable("The deflated data are corrupt") from None
    if out.tell() > most:
        raise UnsafeFile(f"The deflated data inflate to more than {most} bytes")
    if not stream.eof:
        raise Unreadable("The deflated data have no end")
    return out.getvalue()
