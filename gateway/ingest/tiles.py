"""Step 2 of 7: how a JPEG 2000 codestream is laid out, as far as decoding it in parts needs (ITU-T T.800 Annex A).

What parts of a frame can be decoded alone is told from its headers, all of them: each tile may have other code blocks.
A codestream with anything that is not foreseen here is decoded at once, by the decoder for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TypeAlias

_SIZ = Struct(">HHLLLLLLLLH")
_BEGIN = b"\xff\x4f\xff\x51"  # SOC, SIZ
_SIZ_AT = len(_BEGIN)
PRECISION_AT, PRECISION_STEP = _SIZ_AT + _SIZ.size, 3
"""Where the first component's precision stands, less one and with the sign in its highest bit; and how far the next."""
_SOT, _SOD, _EOC = 0xFF90, 0xFF93, 0xFFD9
_COD, _COC = 0xFF52, 0xFF53
_PLAIN = frozenset({_COD, _COC, 0xFF50, 0xFF51, 0xFF55, 0xFF57, 0xFF58, 0xFF59, 0xFF5C, 0xFF5D, 0xFF5F, 0xFF64})
"""CAP, SIZ, TLM, PLM, PLT, CPF, QCD, QCC, POC, COM. Not: regions of interest, packet headers apart."""
_KIND, _HIGH_THROUGHPUT = 0xC0, 0x40  # of a code block's style: 0 is T.800's, both bits are both kinds (T.814 A.4)
_IRREVERSIBLE, _REVERSIBLE = 0, 1
_MOST_PARTS = 4096
_Styles: TypeAlias = set[tuple[int, int]]
"""Kind of code blocks, and wavelet."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A codestream whose components have the same size and type, and whose first tile begins at 0, 0.

    Attributes:
        rows, columns, components: Its dimensions.
        tile_rows, tile_columns: Of a tile.
        precision: Bits of a sample.
        signed: Whether samples have a sign.
        high_throughput: Whether its code blocks are those of HTJ2K.
        reversible: Whether all wavelets are the reversible one.
        irreversible: Whether all are the other one.
    """

    rows: int
    columns: int
    components: int
    tile_rows: int
    tile_columns: int
    precision: int
    signed: bool
    high_throughput: bool
    reversible: bool
    irreversible: bool

    @property
    def one_tile(self) -> bool:
        """Whether there is one tile."""
        return self.tile_rows >= self.rows and self.tile_columns >= self.columns


def layout(frame: bytes | memoryview) -> Layout | None:
    """Of a bare codestream whose parts can be told; None for all others."""
    if frame[:4] != _BEGIN or len(frame) < _SIZ_AT + _SIZ.size:
        return None
    _, _, width, height, x, y, tile_width, tile_height, tile_x, tile_y, components = _SIZ.unpack_from(frame, _SIZ_AT)
    kinds = bytes(frame[_SIZ_AT + _SIZ.size : _SIZ_AT + _SIZ.size + 3 * components])
    if x or y or tile_x or tile_y or not tile_width or not tile_height or len(kinds) != 3 * components:
        return None
    if kinds != kinds[:1] + b"\1\1" + kinds[3:] or kinds[:3] * components != kinds:
        return None  # components of different types, or fewer samples of some
    found = _styles(frame, 1 if components < 257 else 2)
    blocks = {style for style, _ in found or ()}
    if blocks not in ({0}, {_HIGH_THROUGHPUT}):
        return None
    precision, signed = (kinds[0] & 0x7F) + 1, kinds[0] >= 0x80
    wavelets = {wavelet for _, wavelet in found or ()}
    sizes = (height, width, components, tile_height, tile_width)
    return Layout(
        *sizes,
        precision,
        signed,
        high_throughput=_HIGH_THROUGHPUT in blocks,
        reversible=wavelets == {_REVERSIBLE},
        irreversible=wavelets == {_IRREVERSIBLE},
    )


def _styles(frame: bytes | memoryview, wide: int) -> _Styles | None:
    """All that any header declares; None for a codestream that is not understood, or not whole."""
    found: _Styles = set()
    position = _header(frame, 2, _SOT, wide, found)
    for _ in range(_MOST_PARTS):
        if position is None or (marker := _number(frame, position, 2)) == _EOC:
            return found if position is not None else None
        if marker != _SOT:
            return None
        length = _number(frame, position + 6, 4)
        body = _header(frame, position + 12, _SOD, wide, found)
        if body is None or length == 0:  # 0: the last one, up to the end
            return None if body is None else found
        position = position + length if position + length > body else None
    return None


def _header(frame: bytes | memoryview, position: int, end: int, wide: int, found: _Styles) -> int | None:
    """Add the styles of one header; the place of the marker ``end`` behind it, or None."""
    while (marker := _number(frame, position, 2)) in _PLAIN:
        length = _number(frame, position + 2, 2)
        style = position + 4 + (8 if marker == _COD else wide + 4)
        if marker in (_COD, _COC):
            if style + 1 >= min(position + 2 + length, len(frame)):
                return None
            found.add((frame[style] & _KIND, frame[style + 1]))
        if length < 2:
            return None
        position += 2 + length
    return position if marker == end else None


def _number(frame: bytes | memoryview, position: int, size: int) -> int:
    """A number in the frame; whatever is there of it at its end."""
    return int.from_bytes(frame[position : position + size], "big")
