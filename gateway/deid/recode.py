"""Step 3 of 7: changed frames back into a transfer syntax: the one they came in if that is lossless, else uncompressed.

| came as | goes as | by |
|---|---|---|
| RLE Lossless | the same | pylibjpeg-rle (MIT); a large frame by imagecodecs (``rle.py``) |
| JPEG-LS Lossless | the same | CharLS (BSD-3-Clause), of imagecodecs (``charls.py``) |
| JPEG 2000 Lossless | the same | pylibjpeg-openjpeg (MIT); a large frame by tiles (``jpeg2000.py``) |
| JPEG Lossless, both | the same; first-order prediction | imagecodecs (BSD-3-Clause) |
| JPEG Lossless, few large frames | Explicit VR Little Endian: its encoder takes twice a frame more than there is | |
| Deflated Image Frame | the same | zlib |
| all other compressed ones, big endian | Explicit VR Little Endian | |
| native little endian, deflated as a whole | the same | |

What a lossy codec left is never put through a lossy codec again.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID

from gateway.deid import charls, jpeg2000, rle
from gateway.errors import NotSanitizable
from gateway.ingest.codecs import LARGE, PixelSource
from gateway.ingest.guard import fence
from gateway.ingest.syntax import TransferSyntax, transfer_syntax

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ingest.codecs import Stored
    from gateway.ingest.header import PixelHeader

NATIVE = "1.2.840.10008.1.2.1"
_RLE, _JPEG_LS, _JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
_JPEG = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})
_JPEG_COLOURS = frozenset({"MONOCHROME1", "MONOCHROME2", "RGB"})
_DEFLATED = "1.2.840.10008.1.2.8.1"
_TRIAL, _PIECE = 64, 2**20
_FEW = 3  # frames: of more, what an encoder holds of one is little beside all of them


@dataclass(frozen=True, slots=True)
class Recoder:
    """Writes decoded frames.

    Attributes:
        header: What the pixel attributes are afterwards.
        syntax: The transfer syntax afterwards.
    """

    header: PixelHeader
    syntax: TransferSyntax
    _encode: Callable[[Recoder, Stored], bytes | bytearray | memoryview] = field(repr=False)

    @classmethod
    def as_it_is(cls, source: PixelSource) -> Recoder:
        """For native frames whose bytes are changed where they stand."""
        return cls(source.header, source.syntax, _native)

    @classmethod
    def of(cls, source: PixelSource, photometric: str) -> Recoder:
        """For frames that the source decodes.

        Args:
            source: Of the object.
            photometric: What decoded frames are. They have all samples of both chroma components.

        Raises:
            NotSanitizable: They are in a colour space that DICOM has only with half of them.
        """
        if photometric == "YBR_PARTIAL_422":
            raise NotSanitizable("Frames in YBR_PARTIAL_422 cannot be masked in the transfer syntax of this object")
        header = replace(source.header, photometric=photometric.removesuffix("_422"), planar=False)
        encode = _encoder(source.syntax, header)
        if encode is not None:
            kept = cls(header, source.syntax, encode)
            shape = (min(header.rows, _TRIAL), min(header.columns, _TRIAL), *[3] * (header.samples == 3))
            try:
                replace(kept, header=replace(header, rows=shape[0], columns=shape[1])).encode(
                    np.zeros(shape, f"{'i' if header.signed else 'u'}{max(header.bits_allocated, 8) // 8}")
                )
            except NotSanitizable:  # not with these attributes
                pass
            else:
                return kept
        return cls(header, transfer_syntax(NATIVE), _native)

    def encode(self, stored: Stored) -> bytes | bytearray | memoryview:
        """One frame. Raises NotSanitizable if the encoder fails."""
        with fence("A masked frame cannot be encoded again", NotSanitizable):
            return self._encode(self, stored)

    def decode(self, frame: bytes | bytearray | memoryview) -> tuple[Stored, str]:
        """The frame as a reader decodes it."""
        with fence("A masked frame cannot be read back", NotSanitizable):
            vr = "OB" if self.header.bits_allocated <= 8 else "OW"
            view = memoryview(frame)
            source = PixelSource(replace(self.header, frames=1), self.syntax, view, vr)
            if self.syntax.encapsulated:
                return source.decode_encoded(view)
            return source.decode(1)


def _encoder(
    syntax: TransferSyntax, header: PixelHeader
) -> Callable[[Recoder, Stored], bytes | bytearray | memoryview] | None:
    bytes_each = header.bits_allocated in (8, 16)
    if syntax.uid == _DEFLATED:
        return _deflated
    if syntax.uid == _RLE and bytes_each:
        return _rle
    if syntax.uid == _JPEG_LS and bytes_each:
        return _jpeg_ls
    if syntax.uid == _JPEG_2000 and header.bits_allocated >= 8:
        return _jpeg_2000
    few_and_large = header.frames <= _FEW and header.frame_bits >= 8 * LARGE
    if syntax.uid in _JPEG and bytes_each and header.photometric in _JPEG_COLOURS and not few_and_large:
        return _jpeg_lossless
    return None


def _native(recoder: Recoder, stored: Stored) -> bytes | memoryview:
    header = recoder.header
    if header.bits_allocated == 1:
        return np.packbits(stored.reshape(-1).astype(np.uint8), bitorder="little").tobytes()
    kind = stored.dtype.kind
    return np.ascontiguousarray(stored, f"<{kind}{header.bits_allocated // 8}").data.cast("B")


def _deflated(recoder: Recoder, stored: Stored) -> bytearray:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    view = memoryview(_native(recoder, stored))
    out = bytearray()
    for at in range(0, len(view), _PIECE):
        out += stream.compress(view[at : at + _PIECE])
    out += stream.flush()
    return out


def _rle(recoder: Recoder, stored: Stored) -> bytes | bytearray:
    if recoder.header.frame_bits >= 8 * LARGE:
        return rle.encode(stored)
    return _by_pydicom(recoder, stored, "pylibjpeg")


def _jpeg_ls(recoder: Recoder, stored: Stored) -> memoryview:
    header = recoder.header
    kind = np.dtype("u1" if header.bits_stored <= 8 else "u2")
    return charls.encode(_without_sign(stored, header).astype(kind, copy=False), header.bits_stored)


def _jpeg_2000(recoder: Recoder, stored: Stored) -> bytes | bytearray:
    header = recoder.header
    if header.frame_bits >= 8 * LARGE and header.bits_allocated in (8, 16):
        return jpeg2000.encode(stored, header.bits_stored)
    return _by_pydicom(recoder, stored, "pylibjpeg")


def _by_pydicom(recoder: Recoder, stored: Stored, plugin: str) -> bytes:
    header = recoder.header
    encoder: Any = get_encoder(UID(recoder.syntax.uid))
    encoded: bytes = encoder.encode(
        stored.astype(stored.dtype.newbyteorder("<"), copy=False),
        encoding_plugin=plugin,
        rows=header.rows,
        columns=header.columns,
        number_of_frames=1,
        samples_per_pixel=header.samples,
        bits_allocated=header.bits_allocated,
        bits_stored=header.bits_stored,
        pixel_representation=int(header.signed),
        photometric_interpretation=header.photometric,
        planar_configuration=0,
        pixel_keyword=header.keyword,
    )
    return encoded


def _jpeg_lossless(recoder: Recoder, stored: Stored) -> bytes:
    from imagecodecs import jpeg8_encode  # noqa: PLC0415 - 0.3 s to import, and seldom needed

    header = recoder.header
    raw = "rgb" if header.samples == 3 else None  # from and to the same: the components as they are
    encoded = jpeg8_encode(
        np.ascontiguousarray(_without_sign(stored, header)),
        lossless=True,
        predictor=1,
        bitspersample=header.bits_stored,
        colorspace=raw,
        outcolorspace=raw,
    )
    return bytes(encoded)


def _without_sign(stored: Stored, header: PixelHeader) -> Stored:
    """The values' own bits, read as if they had no sign."""
    unsigned = stored.view(f"u{stored.dtype.itemsize}")
    return unsigned & ((1 << header.bits_stored) - 1) if header.signed else unsigned
