"""Step 2 of 7: inflate with a bound. ``zlib.decompress`` has none: 195 kB can become 200 MB."""

from __future__ import annotations

import zlib

from gateway.errors import Unreadable, UnsafeFile

ALWAYS_ALLOWED = 2**20
"""Bytes that may come out whatever the ratio: a small blank image deflates a thousandfold."""


def inflate(data: bytes, *, limit: int, ratio: int) -> bytes:
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
    try:
        out = stream.decompress(data, most + 1)
    except zlib.error:
        raise Unreadable("The deflated data are corrupt") from None
    if len(out) > most:
        raise UnsafeFile(f"The deflated data inflate to more than {most} bytes")
    if not stream.eof:
        raise Unreadable("The deflated data have no end")
    return out
