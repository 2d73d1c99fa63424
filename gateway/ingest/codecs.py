"""Step 2 of 7: one frame of Pixel Data becomes stored values. Codecs are named: what is installed decides nothing.

| pixels | decoder | licence |
|---|---|---|
| native | NumPy where samples stand as it reads them, else pydicom | MIT |
| RLE | pylibjpeg-rle; large frames by imagecodecs (``rle.py``) | MIT, BSD-3-Clause |
| JPEG, 8 bits lossy | Pillow (libjpeg-turbo) | MIT-CMU |
| JPEG, 12 bits lossy and lossless | imagecodecs (libjpeg-turbo); it has no pydicom plugin | BSD-3-Clause |
| JPEG-LS | imagecodecs (CharLS) | BSD-3-Clause |
| JPEG 2000, HTJ2K | pylibjpeg-openjpeg | MIT |
| large frames: JPEG 2000 | OpenJPEG, some rows at a time (``openjpeg.py``) | BSD-2-Clause |
| large frames: HTJ2K | imagecodecs (OpenJPH) | BSD-3-Clause |
| deflated frame | zlib, then as native | |
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import islice
from struct import pack
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.encaps import generate_frames, get_frame, parse_basic_offsets, parse_fragments
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, ExplicitVRLittleEndian

from gateway.errors import Unreadable, UnsafeFile
from gateway.ingest.byte_view import ByteView
from gateway.ingest.codestream import FrameSize, check_size, is_ended, jpeg2000_size, jpeg_size
from gateway.ingest.header import HALF_CHROMA, PixelHeader
from gateway.ingest.htj2k import decode as decode_high_throughput
from gateway.ingest.inflate import inflate
from gateway.ingest.openjpeg import decode as decode_in_parts
from gateway.ingest.rle import decode as decode_rle
from gateway.ingest.syntax import transfer_syntax
from gateway.ingest.tiles import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.ingest.structure import PixelElement
    from gateway.ingest.syntax import TransferSyntax

Stored = npt.NDArray[Any]
"""Stored values, [rows, columns] or [rows, columns, 3]; an integer or float type."""

LARGE = 2**22
"""Bytes of a decoded frame from which what its codec takes beside it counts."""

_EIGHT_BIT_LOSSY = frozenset({0xC0, 0xC1})  # baseline, extended sequential
_DEFLATE_RATIO = 1032  # the greatest that deflate can reach, so the length is the only bound
_ROWS = 256
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
        if (only := self._only_fragment()) is not None:
            return self.decode_encoded(only)
        return self.decode_encoded(
            get_frame(
                ByteView(self.value),
                number - 1,
                number_of_frames=self.header.frames,
                extended_offsets=self.offsets,
            )
        )

    def _only_fragment(self) -> memoryview | None:
        """The one fragment of the one frame, where it stands; None if there are more."""
        buffer = ByteView(self.value)
        if self.header.frames > 1 or self.offsets is not None or parse_basic_offsets(buffer) not in ([], [0]):
            return None
        count, (start, *_) = parse_fragments(buffer)
        length = int.from_bytes(self.value[start + 4 : start + 8], "little")
        return memoryview(self.value)[start + 8 : start + 8 + length] if count == 1 else None

    def encoded(self) -> Iterator[bytes | memoryview]:
        """The compressed frames in order, each in one piece, where it stands if it can be. Call it inside ``fence``.

        Raises:
            Unreadable: There are fewer than Number of Frames. What is beyond that number is left out.
        """
        count = self.header.frames
        if (only := self._only_fragment()) is not None:
            yield only
            return
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

    def decode_encoded(self, frame: bytes | memoryview) -> tuple[Stored, str]:
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
        """A native frame without a copy; None where its samples do not stand so in the file."""
        header = self.header
        swapped = not self.syntax.little_endian and header.bits_allocated == 8 and self.vr != "OB"  # in words of two
        samples = None if swapped or header.photometric in HALF_CHROMA else self.samples(number)
        if samples is None or not header.is_within(samples):
            return None
        if header.samples == 1:
            return samples.reshape(header.rows, header.columns)
        if header.planar:
            return samples.reshape(header.samples, header.rows, header.columns).transpose(1, 2, 0)
        return samples.reshape(header.rows, header.columns, header.samples)

    def _rle(self, frame: bytes | memoryview) -> tuple[Stored, str]:
        if self.header.frame_bits >= 8 * LARGE:
            return decode_rle(frame, self.header), self.header.photometric
        # The decoder stops at Rows x Columns, whatever the segments hold.
        return self._encapsulated(frame, "pylibjpeg")

    def _jpeg_ls(self, frame: bytes | memoryview) -> tuple[Stored, str]:
        from imagecodecs import jpegls_decode  # noqa: PLC0415 - 0.3 s to import, and seldom needed

        size, header = jpeg_size(frame), self.header
        self._check(size)
        if not is_ended(frame):  # in which CharLS may look for a bit for seconds, and then refuses it
            raise Unreadable("A frame in JPEG-LS has no end")
        stored: Stored = jpegls_decode(_buffer(frame))
        stored = stored.astype(f"u{header.bits_allocated // 8}", copy=False)
        photometric = header.photometric
        if header.samples == 3 and size.component_ids in (b"RGB", b"rgb"):
            photometric = "RGB"
        elif header.samples == 3 and size.jfif and "YBR" not in photometric:
            photometric = "YBR_FULL"
        return self._sign(stored, size.precision), photometric

    def _jpeg_2000(self, frame: bytes | memoryview) -> tuple[Stored, str]:
        self._check(jpeg2000_size(frame))
        stored = self._large_jpeg_2000(frame) if self.header.frame_bits >= 8 * LARGE else None
        if stored is None:
            return self._encapsulated(frame, "pylibjpeg")
        return stored, {"YBR_RCT": "RGB", "YBR_ICT": "RGB"}.get(self.header.photometric, self.header.photometric)

    def _large_jpeg_2000(self, frame: bytes | memoryview) -> Stored | None:
        """By a decoder that needs little more than the result; None for a codestream that none of them is for."""
        header, found = self.header, layout(frame)
        if found is None or found.signed != header.signed or found.precision > header.bits_allocated:
            return None
        kind = np.dtype(f"{'i' if header.signed else 'u'}{header.bits_allocated // 8}")
        if not found.high_throughput:
            return decode_in_parts(frame, found, kind)
        return decode_high_throughput(frame, found, kind) if found.reversible or found.irreversible else None

    def _jpeg(self, frame: bytes | memoryview) -> tuple[Stored, str]:
        size = jpeg_size(frame)
        self._check(size)
        if size.process in _EIGHT_BIT_LOSSY and size.precision == 8:
            stored, photometric = self._pillow(frame, size)
        elif size.process in _IMAGECODECS:
            from imagecodecs import jpeg8_decode  # noqa: PLC0415 - 0.3 s to import, and seldom needed

            raw = "YCBCR" if self.header.samples == 3 else None  # from and to the same: the components as they are
            stored, photometric = (
                jpeg8_decode(_buffer(frame), colorspace=raw, outcolorspace=raw),
                self.header.photometric,
            )
        else:
            raise Unreadable("A frame is compressed by a JPEG process that its transfer syntax does not allow")
        return self._sign(stored, self.header.bits_stored), photometric

    def _pillow(self, frame: bytes | memoryview, size: FrameSize) -> tuple[Stored, str]:
        """Three components come out as RGB if the codestream itself says what they are, else as they are stored.

        The codestream is believed before Photometric Interpretation: it describes what the encoder did.
        """
        image = Image.open(BytesIO(frame), formats=("JPEG",))
        if self.header.samples == 1:
            return _samples(image), self.header.photometric
        if size.jfif or size.adobe is not None or size.component_ids in (b"RGB", b"rgb"):
            return _samples(image if image.mode == "RGB" else image.convert("RGB")), "RGB"
        image.draft("YCbCr", image.size)  # no transform: the components as they are
        return _samples(image), self.header.photometric

    def _deflated(self, frame: bytes | memoryview) -> tuple[Stored, str]:
        length = (self.header.frame_bits + 7) // 8
        out = inflate(frame, limit=length + 1, ratio=_DEFLATE_RATIO)
        if len(out) - length not in (0, 1):
            raise UnsafeFile("A deflated frame has not the length that the pixel attributes give")
        return PixelSource(
            replace(self.header, frames=1), transfer_syntax(ExplicitVRLittleEndian), out, self.vr
        ).decode(1)

    def _encapsulated(self, frame: bytes | memoryview, plugin: str) -> tuple[Stored, str]:
        """Decode one frame by a named pydicom plugin, wrapped as the only frame there is."""
        padding = len(frame) % 2
        head = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0" + pack("<L", len(frame) + padding)
        wrapped = b"".join((head, frame, b"\0" * padding, b"\xfe\xff\xdd\xe0\0\0\0\0"))
        return self._pydicom(self.syntax.uid, wrapped, 0, 1, plugin)

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

    def _sign(self, stored: Stored, bits: int) -> Stored:
        """JPEG knows unsigned samples only: read them as two's complement of so many bits where the header says so."""
        if not self.header.signed or stored.dtype.kind != "u":
            return stored
        shift = max(8 * stored.dtype.itemsize - bits, 0)
        signed = stored.view(stored.dtype.str.replace("u", "i"))
        extended: Stored = np.right_shift(np.left_shift(signed, shift), shift)
        return extended


def _buffer(frame: bytes | memoryview) -> Any:
    """For imagecodecs, which takes any buffer, and whose annotations do not say so."""
    return frame


def _samples(image: Image.Image) -> Stored:
    """A picture of Pillow's as an array, some rows at a time: Pillow makes two copies of what it hands out."""
    image.load()
    out = np.empty((image.height, image.width, len(image.getbands())), np.uint8)
    for top in range(0, image.height, _ROWS):
        box = (0, top, image.width, min(top + _ROWS, image.height))
        out[top : top + _ROWS] = np.asarray(image.crop(box)).reshape(-1, *out.shape[1:])
    return out[:, :, 0] if out.shape[2] == 1 else out


_DECODERS: dict[str, Callable[[PixelSource, bytes | memoryview], tuple[Stored, str]]] = {
    "rle": PixelSource._rle,  # noqa: SLF001 - its own module's
    "jpeg": PixelSource._jpeg,  # noqa: SLF001
    "jpeg-ls": PixelSource._jpeg_ls,  # noqa: SLF001
    "jpeg-2000": PixelSource._jpeg_2000,  # noqa: SLF001
    "deflated-frame": PixelSource._deflated,  # noqa: SLF001
}
