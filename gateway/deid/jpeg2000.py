"""Step 3 of 7: a large frame as one JPEG 2000 codestream of many tiles, each encoded by itself (ITU-T T.800 Annex A).

An encoder at work on a whole frame holds four and a half times a frame of 16 bits. Tiles are coded without regard to
each other, so each is encoded as a picture of its own, and its data become a tile-part: behind SOT come what its own
headers say of its coding, and its packets. That is a codestream as encoders make them of tiles, as long as the grids of
wavelets and code blocks, which begin at the frame's corner, fall on the tiles' edges. Whoever writes one decodes it
again and compares.
"""

from __future__ import annotations

from struct import pack, pack_into, unpack_from
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gateway.ingest.codecs import Stored

_TILE, _RESOLUTIONS = 512, 4  # 64 samples of a code block, halved three times: 512
_SIZ, _COM, _SOT, _SOD, _EOC = 0xFF51, 0xFF64, 0xFF90, 0xFF93, 0xFFD9
_FRAME_SIZE, _TILE_SIZE = 6, 22  # of Xsiz and XTsiz, from the marker SIZ on


def encode(stored: Stored, bits: int) -> bytearray:
    """A lossless codestream; three components are coded as they are, without a transform.

    Args:
        stored: [rows, columns] or [rows, columns, 3]; whole numbers of 8 or 16 bits.
        bits: Precision that is declared.

    Raises:
        ValueError: The encoder's codestream has another form than it is known to have.
    """
    from imagecodecs import jpeg2k_encode  # noqa: PLC0415 - 0.3 s to import, and seldom needed

    rows, columns = stored.shape[:2]
    out = bytearray()
    corners = [(top, left) for top in range(0, rows, _TILE) for left in range(0, columns, _TILE)]
    for number, (top, left) in enumerate(corners):
        tile = np.ascontiguousarray(stored[top : top + _TILE, left : left + _TILE])
        alone = jpeg2k_encode(
            tile, 0, codecformat="j2k", reversible=True, mct=False, bitspersample=bits, resolutions=_RESOLUTIONS
        )
        size, coding, packets = _split(bytes(alone))
        if not out:
            pack_into(">LL", size, _FRAME_SIZE, columns, rows)
            pack_into(">LL", size, _TILE_SIZE, _TILE, _TILE)
            out += b"\xff\x4f" + size + coding
        out += pack(">HHHLBB", _SOT, 10, number, 14 + len(coding) + len(packets), 0, 1)
        out += coding + pack(">H", _SOD) + packets
    return out + pack(">H", _EOC)


def _split(alone: bytes) -> tuple[bytearray, bytes, bytes]:
    """SIZ, the other segments that say how a picture of one tile is coded, and its packets."""
    size, coding, position = bytearray(), b"", 2
    while True:
        marker, length = unpack_from(">HH", alone, position)
        if marker == _SOD:
            break
        segment = alone[position : position + 2 + length]
        if marker == _SIZ:
            size += segment
        elif marker not in (_SOT, _COM):
            coding += segment
        position += 2 + length
    if not size or alone[-2:] != pack(">H", _EOC) or alone[:2] != b"\xff\x4f":
        raise ValueError("the encoder's codestream has another form than is known")
    return size, coding, alone[position + 2 : -2]
