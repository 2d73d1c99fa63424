"""Step 2 of 7: one frame of Pixel Data becomes stored values. Codecs are named: what is installed decides nothing.

| pixels | decoder | licence |
|---|---|---|
| native | NumPy where samples stand as it reads them, else pydicom | MIT |
| RLE | pylibjpeg-rle | MIT |
| JPEG, 8 bits lossy | Pillow (libjpeg-turbo) | MIT-CMU |
| JPEG, 12 bits lossy and lossless | imagecodecs (libjpeg-turbo); it has no pydicom plugin | BSD-3-Clause |
| JPEG-LS | pyjpegls (CharLS) | MIT |
| JPEG 2000, HTJ2K | pylibjpeg-openjpeg | MIT |
| deflated frame | zlib, then as native | |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from struct import pack
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.encaps import generate_frames, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, ExplicitVRLittleEndian

from gateway.errors import Unreadable, UnsafeFile
from gateway.ingest.byte_view import ByteView
from gateway.ingest.codestream import FrameSize, check_size, jpeg2000_size, jpeg_size
from gateway.ingest.header import HALF_CHROMA, PixelHeader
from gateway.ingest.inflate import inflate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.ingest.structure import PixelElement
    from gateway.ingest.syntax import TransferSyntax

Stored = npt.NDArray[Any]
"""Stored values, [rows, columns] or [rows, columns, 3]; an integer or float type."""

_EIGHT_BIT_LOSSY = frozenset({0xC0, 0xC1})  # baseline, extended sequential
_DEFLATE_RATIO = 1032  # the greatest that deflate can reach, so the length is the only bound
_IMAGECODECS = frozenset({0xC1, 0xC3})  # extended sequential with 12 bits, lossless


@dataclass(frozen=True, slots=True, eq=False)
class PixelSource:
    """All that decoding needs. Holds no reference to the data set.

    Attributes:
        header: Checked sizes.
        syntax: The transfer syntax.
        value: Pixel Data's value.
        vr: Its VR.
        offsets: Extended Offset Table and its lengths (7FE0,0001) and (7FE0,0002).
    """

    header: PixelHeader
    syntax: TransferSyntax
    value: bytes | memoryview = field(repr=False)
    vr: str
    offsets: tuple[bytes, bytes] | None = field(repr=False, default=None)

    @classmethod
    def of(
        cls,
        data: bytes,
        pixels: PixelElement,
        header: PixelHeader,
        syntax: TransferSyntax,
        offsets: tuple[bytes, bytes] | None,
    ) -> PixelSource:
        """Point into ``data``. Raises UnsafeFile if the form of the pixels is not that of the transfer syntax."""
        if pixels.encapsulated != syntax.encapsulated:
            raise UnsafeFile("Pixel Data is encapsulated where its transfer syntax is native, or the reverse")
        value = memoryview(data)[pixels.start : pixels.end]
        if not syntax.encapsulated:
            header.check_native(value)
            return cls(header, syntax, value, pixels.vr)
        return cls(header, syntax, value, pixels.vr, offsets)

    def decode(self, number: int) -> tuple[Stored, str]:
        """Stored values of one frame and the photometric interpretation that they now have.

        Call it inside ``fence``: codecs raise what they like.

        Args:
            number: Frame number, 1-based.
        """
        if not self.syntax.encapsulated:
            if (plain := self._as_it_stands(number)) is not None:
                return plain, self.header.photometric
            return self._pydicom(self.syntax.uid, self.value, number - 1, self.header.frames)
        return self.decode_encoded(
            get_frame(
                ByteView(self.value),
                number - 1,
                number_of_frames=self.header.frames,
                extended_offsets=self.offsets,
            )
        )

    def encoded(self) -> Iterator[bytes]:
        """The compressed frames in order, each in one piece. Call it inside ``fence``.

        Raises:
            Unreadable: There are fewer than Number of Frames. What is beyond that number is left out.
        """
        count = self.header.frames
        frames = generate_frames(
            ByteView(self.value),
            number_of_frames=count,
            extended_offsets=self.offsets,
        )
        number = 0
        for number, frame in enumerate(islice(frames, count), start=1):  # noqa: B007 - counted
            yield frame
        if number < count:
            raise Unreadable("Pixel Data (7FE0,0010) holds fewer frames than Number of Frames (0028,0008) says")

    def decode_encoded(self, frame: bytes) -> tuple[Stored, str]:
        """Like ``decode``, of one compressed frame."""
        return _DECODERS[self.syntax.codec](self, frame)

    def samples(self, number: int) -> Stored | None:
        """A native frame's samples one after the other, bits above Bits Stored included; a view, read-only.

        None for compressed frames, and for samples of single bits or floating point.
        """
        header = self.header
        if self.syntax.encapsulated or header.bits_allocated not in (8, 16, 32) or header.keyword != "PixelData":
            return None
        size = header.frame_bits // header.bits_allocated
        order, sign = "<" if self.syntax.little_endian else ">", "i" if header.signed else "u"
        kind = np.dtype(f"{order}{sign}{header.bits_allocated // 8}")
        return np.frombuffer(self.value, kind, size, (number - 1) * size * kind.itemsize)

    def _as_it_stands(self, number: int) -> Stored | None:
        """A native grey frame without a copy; None where its samples do not stand so in the file."""
        header = self.header
        samples = self.samples(number) if header.samples == 1 and self.syntax.little_endian else None
        if samples is None or not header.is_within(samples):
            return None
        return samples.reshape(header.rows, header.columns)

    def _rle(self, frame: bytes) -> tuple[Stored, str]:
        # The decoder stops at Rows x Columns, whatever the segments hold.
        return self._encapsulated(frame, "pylibjpeg")

    def _jpeg_ls(self, frame: bytes) -> tuple[Stored, str]:
        self._check(jpeg_size(frame))
        return self._encapsulated(frame, "pyjpegls")

    def _jpeg_2000(self, frame: bytes) -> tuple[Stored, str]:
        self._check(jpeg2000_size(frame))
        return self._encapsulated(frame, "pylibjpeg")

    def _jpeg(self, frame: bytes) -> tuple[Stored, str]:
        size = jpeg_size(frame)
        self._check(size)
        if size.process in _EIGHT_BIT_LOSSY and size.precision == 8:
            stored, photometric = self._pillow(frame, size)
        elif size.process in _IMAGECODECS:
            from imagecodecs import jpeg8_decode  # noqa: PLC0415 - 0.3 s to import, and seldom needed

            raw = "YCBCR" if self.header.samples == 3 else None  # from and to the same: the components as they are
            stored, photometric = jpeg8_decode(frame, colorspace=raw, outcolorspace=raw), self.header.photometric
        else:
            raise Unreadable("A frame is compressed by a JPEG process that its transfer syntax does not allow")
        return self._sign(stored), photometric

    def _pillow(self, frame: bytes, size: FrameSize) -> tuple[Stored, str]:
        """Three components come out as RGB if the codestream itself says what they are, else as they are stored.

        The codestream is believed before Photometric Interpretation: it describes what the encoder did.
        """
        image = Image.open(BytesIO(frame), formats=("JPEG",))
        if self.header.samples == 1:
            return np.asarray(image), self.header.photometric
        if size.jfif or size.adobe is not None or size.component_ids in (b"RGB", b"rgb"):
            return np.asarray(image.convert("RGB")), "RGB"
        image.draft("YCbCr", image.size)  # no transform: the components as they are
        return np.asarray(image), self.header.photometric

    def _deflated(self, frame: bytes) -> tuple[Stored, str]:
        length = (self.header.frame_bits + 7) // 8
        out = inflate(frame, limit=length + 1, ratio=_DEFLATE_RATIO)
        if len(out) - length not in (0, 1):
            raise UnsafeFile("A deflated frame has not the length that the pixel attributes give")
        return self._pydicom(ExplicitVRLittleEndian, out, 0, 1)

    def _encapsulated(self, frame: bytes, plugin: str) -> tuple[Stored, str]:
        """Decode one frame by a named pydicom plugin, wrapped as the only frame there is."""
        padded = frame + b"\0" * (len(frame) % 2)
        wrapped = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0" + pack("<L", len(padded)) + padded
        return self._pydicom(self.syntax.uid, wrapped + b"\xfe\xff\xdd\xe0\0\0\0\0", 0, 1, plugin)

    def _pydicom(
        self, uid: str, value: bytes | memoryview, index: int, frames: int, plugin: str = ""
    ) -> tuple[Stored, str]:
        header = self.header
        photometric = header.photometric
        if photometric in HALF_CHROMA and not self.syntax.encapsulated:
            photometric = "YBR_FULL_422"  # both are laid out alike
        decoder: Any = get_decoder(UID(uid))  # its options are annotated as the whole dictionary of them
        array, properties = decoder.as_array(
            value,
            index=index,
            raw=True,
            validate=False,  # done here, stricter
            decoding_plugin=plugin,
            rows=header.rows,
            columns=header.columns,
            samples_per_pixel=header.samples,
            photometric_interpretation=photometric,
            pixel_keyword=header.keyword,
            pixel_vr=self.vr,
            number_of_frames=frames,
            bits_allocated=header.bits_allocated,
            bits_stored=header.bits_stored,
            pixel_representation=int(header.signed),
            planar_configuration=int(header.planar),
        )
        if header.photometric == "YBR_PARTIAL_422":
            return array, header.photometric
        return array, str(properties["photometric_interpretation"]).replace("_COLOR", " COLOR")

    def _check(self, found: FrameSize) -> None:
        header = self.header
        check_size(found, header.rows, header.columns, header.samples, header.bits_allocated)

    def _sign(self, stored: Stored) -> Stored:
        """JPEG knows unsigned samples only: read them as two's complement of Bits Stored where the header says so."""
        if not self.header.signed or stored.dtype.kind != "u":
            return stored
        shift = max(8 * stored.dtype.itemsize - self.header.bits_stored, 0)
        signed = stored.view(stored.dtype.str.replace("u", "i"))
        extended: Stored = np.right_shift(np.left_shift(signed, shift), shift)
        return extended


_DECODERS: dict[str, Callable[[PixelSource, bytes], tuple[Stored, str]]] = {
    "rle": PixelSource._rle,  # noqa: SLF001 - its own module's
    "jpeg": PixelSource._jpeg,  # noqa: SLF001
    "jpeg-ls": PixelSource._jpeg_ls,  # noqa: SLF001
    "jpeg-2000": PixelSource._jpeg_2000,  # noqa: SLF001
    "deflated-frame": PixelSource._deflated,  # noqa: SLF001
}
