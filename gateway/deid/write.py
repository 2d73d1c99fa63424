"""Step 3 of 7: a de-identified data set becomes a DICOM file (PS3.10 §7), byte by byte as the standard has it.

A preamble of zeros; the file meta that the data set carries; elements in ascending order, lengths defined and even, no
group lengths; the pixels as they are given; nothing behind them. Values that were not changed since they were read are
copied as bytes where the output is encoded as the input was. pydicom's own writer looks at each of them several times,
and costs three times as much.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from io import SEEK_END, BytesIO
from itertools import chain
from struct import Struct, pack
from typing import TYPE_CHECKING, Any, Self

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import writers
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, VR, PersonName

from gateway.deid.values import texts
from gateway.errors import ImageTooLarge, NotSanitizable
from gateway.ingest.guard import silence
from gateway.ingest.structure import UNDEFINED, name
from gateway.ingest.syntax import TransferSyntax, transfer_syntax
from gateway.ingest.vr import LIKE_ASCII, LONG, NUMBERS, SHORT, TAGS, known_vr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

    from gateway.ingest.part10 import DicomFile
    from gateway.ingest.vr import Elements

PIXEL_DATA = 0x7FE00010
_BEFORE_ALL, _END = 0x0007FFFF, 0xFFFE0000  # below are command, file meta and directory; above, delimiters
_META_BEFORE, _META_END = 0x00020000, 0x00030000
_DEFAULT = [default_encoding]
_CHUNK = 2**20
_CHARACTER_SET = TAGS[0x00080005]
_SYNTAX = 0x00020010
_REQUIRED_META = (0x00020002, 0x00020003, _SYNTAX)
_PREAMBLE = bytes(128) + b"DICM"
_CODES = {vr: (code, False) for code, vr in SHORT.items()} | {vr: (code, True) for code, vr in LONG.items()}
"""The two letters of a VR, and whether its length has 32 bits in explicit VR (PS3.5 §7.1.2)."""
_TEXT = frozenset(vr.value for vr in CUSTOMIZABLE_CHARSET_VR)
_PADDED_BY_SPACE = _TEXT | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UR"}
_STRINGS = _PADDED_BY_SPACE | {"UI"}
_BYTES = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_WORDS = NUMBERS | {"AT": 2, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
"""VRs whose bytes depend on the byte order: size of a word (PS3.5 §7.3)."""
_INTEGERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q"}
_FRAGMENTED = ("OB", "OW")
_COPIED = frozenset(_CODES) - {"SQ"}
_ITEM = (0xFFFE, 0xE000)
_DELIMITER = pack("<HHL", 0xFFFE, 0xE0DD, 0)


@dataclass(frozen=True, slots=True, eq=False)
class PixelValue:
    """The value of the pixel element, as it is to be written.

    Attributes:
        parts: Bytes that follow each other. Native: samples in the byte order of the transfer syntax; encapsulated:
            items from the Basic Offset Table on, without the delimiter (``fragments`` makes them of frames). An
            iterator is asked for one part at a time, so that only the output has to be in memory.
        vr: Its VR, where the transfer syntax is explicit.
        encapsulated: Whether ``parts`` are items (PS3.5 A.4).
        tag: Pixel Data, Float Pixel Data or Double Float Pixel Data.
        length: Bytes of all native parts together, if that is known before they are made.
    """

    parts: Iterable[bytes | bytearray | memoryview] = field(repr=False)
    vr: str = "OW"
    encapsulated: bool = False
    tag: int = PIXEL_DATA
    length: int | None = None

    @classmethod
    def as_read(cls, file: DicomFile) -> Self | None:
        """The pixels of a file as they stand there, for its own transfer syntax; None if it has none. Not copied."""
        found = file.pixels
        if found is None:
            return None
        end = found.end - len(_DELIMITER) if found.encapsulated else found.end
        return cls([memoryview(file.data)[found.start : end]], found.vr, found.encapsulated, found.tag)


def fragments(frames: Iterable[bytes | bytearray | memoryview]) -> Iterator[bytes | bytearray | memoryview]:
    """Items of encapsulated Pixel Data (PS3.5 A.4): an empty Basic Offset Table, then one fragment a frame."""
    yield pack("<HHL", *_ITEM, 0)
    for frame in frames:
        yield pack("<HHL", *_ITEM, len(frame) + len(frame) % 2)
        yield frame
        if len(frame) % 2:
            yield b"\0"


def fragment(length: int, pieces: Iterable[bytes | bytearray]) -> Iterator[bytes | bytearray]:
    """The same for one frame that is made while it is written; ``length`` is even."""
    yield pack("<HHLHHL", *_ITEM, 0, *_ITEM, length)
    yield from pieces


def write_object(dataset: Dataset, pixels: PixelValue | None = None) -> bytes:
    """The file of a data set. Raises as ``Header.of`` and ``Header.file`` do."""
    return Header.of(dataset, pixels).file(pixels)


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """All that is written of an object but its pixels, as it is written (before it is deflated, if it is).

    Attributes:
        syntax: The transfer syntax.
        meta: The file meta, its group length included.
        before: The data set's elements up to where the pixel element stands.
        behind: The others.
    """

    syntax: TransferSyntax
    meta: bytes = field(repr=False)
    before: bytes = field(repr=False)
    behind: bytes = field(repr=False)

    @classmethod
    @silence()
    def of(cls, dataset: Dataset, pixels: PixelValue | None = None) -> Self:
        """Encode a data set, whose ``file_meta`` says the transfer syntax.

        Args:
            dataset: Not changed. Groups below 0008 but for file meta, and group lengths, are not written.
            pixels: Its pixel element; none if the data set has one itself, or if there is none.

        Raises:
            NotSanitizable: It names no transfer syntax, no SOP Class or no SOP Instance; or a value cannot be written.
            UnsupportedTransferSyntax: It names one that is not known.
            ImageTooLarge: A length is more than a DICOM file can state.
        """
        meta = dataset.file_meta
        if missing := [tag for tag in _REQUIRED_META if tag not in meta or not meta.get_item(tag).value]:
            raise NotSanitizable(f"The object has no {name(missing[0])}, without which no file can be written")
        if pixels is not None and pixels.tag in dataset:
            raise ValueError("the data set has a pixel element, and another one is given")
        syntax = transfer_syntax(str(meta[_SYNTAX].value))
        group = _Encoder(ExplicitVRLittleEndian).dataset(meta, _DEFAULT, after=_META_BEFORE, before=_META_END)
        encoder = _Encoder(syntax.uid)
        end = _END if pixels is None else pixels.tag
        last = max((int(tag) for tag in dataset.keys()), default=0)  # noqa: SIM118 - converts every element
        return cls(
            syntax=syntax,
            meta=pack("<HH2sHL", 2, 0, b"UL", 4, len(group)) + group,
            before=encoder.dataset(dataset, _DEFAULT, before=end),
            behind=encoder.dataset(dataset, _DEFAULT, after=end) if last > end else b"",
        )

    @property
    def written(self) -> bytes:
        """All of it."""
        return self.meta + self.before + self.behind

    def file(self, pixels: PixelValue | None = None) -> bytes:
        """The whole file, with the same pixel element. Raises ImageTooLarge if it is longer than can be stated."""
        if pixels is not None and pixels.encapsulated != self.syntax.encapsulated:
            raise ValueError("the pixels are not encoded as the transfer syntax says")
        out = BytesIO()
        out.writelines((_PREAMBLE, self.meta))
        encoder = _Encoder(self.syntax.uid)
        if self.syntax.deflated:
            _deflate(chain((self.before,), encoder.pixels(pixels) if pixels else (), (self.behind,)), out)
            return out.getvalue()
        out.write(self.before)
        if pixels is not None:
            encoder.write_pixels(out, pixels)
        out.write(self.behind)
        return out.getvalue()


def _deflate(parts: Iterable[bytes | bytearray | memoryview], out: BytesIO) -> None:
    """A raw deflate stream of an even number of bytes (PS3.5 A.5)."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    start = out.tell()
    for part in parts:
        view = memoryview(part)
        out.writelines(stream.compress(view[at : at + _CHUNK]) for at in range(0, len(view), _CHUNK))
    out.write(stream.flush())
    out.write(bytes((out.tell() - start) % 2))


class _Encoder:
    """Encodes data sets for one transfer syntax."""

    def __init__(self, syntax: str) -> None:
        self._implicit = syntax == ImplicitVRLittleEndian
        self._little_endian = syntax != ExplicitVRBigEndian
        self._order = "<" if self._little_endian else ">"
        self._pack = Struct(self._order + "HHL").pack
        self._pack_short = Struct(self._order + "HH2sH").pack
        self._pack_long = Struct(self._order + "HH2sHL").pack

    def dataset(self, dataset: Dataset, inherited: list[str], *, after: int = _BEFORE_ALL, before: int = _END) -> bytes:
        """The elements of a data set whose tags are between two others.

        The loop runs once an element, and is most of what writing a header costs: so it is long, and calls little.

        Args:
            dataset: The top one, an item, or file meta.
            inherited: Python codecs of the text in the data set around it.
            after: Tag behind which to start.
            before: Tag at which to end.
        """
        elements: Elements = dataset._dict  # type: ignore[assignment] # noqa: SLF001 - a Dataset converts what it hands out
        charset = _charset(elements.get(_CHARACTER_SET), inherited)
        read = dataset.original_character_set
        as_written = [read] if isinstance(read, str) else [*read]
        as_read = not read or charset == as_written
        alike = as_read or LIKE_ASCII.issuperset((*charset, *as_written))
        implicit, little_endian = self._implicit, self._little_endian
        parts: list[bytes] = []
        for key, element in sorted(elements.items(), key=_number):
            tag = int(key)
            if not after < tag < before or not tag & 0xFFFF:
                continue
            vr = element.VR
            if (
                isinstance(element, RawDataElement)
                and vr in _COPIED
                and (as_read or vr not in _TEXT or (alike and _is_plain(element.value)))
            ):
                value, undefined = element.value or b"", element.length == UNDEFINED
                if element.is_little_endian != little_endian and vr in _WORDS:
                    value = _swapped(value, _WORDS[vr])
            else:
                known = element if isinstance(element, DataElement) else dataset[key]
                vr = known.VR if known.VR in _CODES else _settled(known)
                value, undefined = self._value(known, vr, charset), known.is_undefined_length and vr in _FRAGMENTED
                if vr == "SQ" and implicit and known_vr(tag) != "SQ":
                    undefined = True  # there is nothing else to tell a reader that these are items
            length = len(value)
            if length & 1:
                value += b" " if vr in _PADDED_BY_SPACE else b"\0"
                length += 1
            if undefined:
                value += _DELIMITER
                length = UNDEFINED
            elif length >= UNDEFINED:
                raise ImageTooLarge(f"{name(tag)} is longer than a DICOM file can state")
            if implicit:
                head = self._pack(tag >> 16, tag & 0xFFFF, length)
            else:
                code, wide = _CODES[vr]
                if not wide and length <= 0xFFFF:
                    head = self._pack_short(tag >> 16, tag & 0xFFFF, code, length)
                else:  # what its own VR cannot state the length of is written as UN (PS3.5 §6.2.2)
                    head = self._pack_long(tag >> 16, tag & 0xFFFF, code if wide else b"UN", 0, length)
            parts += (head, value)
        return b"".join(parts)

    def _value(self, element: DataElement, vr: str, charset: list[str]) -> bytes:
        """The value of an element that is not bytes as they were read."""
        value: Any = element.value
        if vr == "SQ":
            items = [self.dataset(item, charset) for item in value or ()]
            return b"".join(part for item in items for part in (self._pack(*_ITEM, len(item)), item))
        if value is None or (not value and not isinstance(value, int | float)):
            return b""
        if isinstance(value, bytes) and vr in _BYTES:
            return value
        if isinstance(value, PersonName) and "=" not in (text := str(value)):
            value = text
        if isinstance(value, str) and vr in _STRINGS and value.isascii():
            return value.encode("ascii")
        if isinstance(value, int) and vr in _INTEGERS:
            return pack(self._order + _INTEGERS[vr], value)
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = self._little_endian, self._implicit
        write: Any
        write, code = writers[VR(vr)]
        try:
            if vr in _TEXT:
                write(buffer, element, charset)
            elif code:
                write(buffer, element, code)
            else:
                write(buffer, element)
        except Exception:  # noqa: BLE001 - pydicom's writers raise what they like, and say the value
            raise NotSanitizable(f"{name(element.tag)} has a value that cannot be written") from None
        return buffer.getvalue()

    def write_pixels(self, out: BytesIO, pixels: PixelValue) -> None:
        """The pixel element, part by part; a native one's length is filled in when it is known."""
        out.write(self._pixel_head(pixels, UNDEFINED if pixels.encapsulated else 0))
        start = out.tell()
        parts = iter(pixels.parts)
        first = next(parts, b"")  # after the first frame was looked at: what that takes is free again
        if pixels.length is not None:
            out.seek(start + pixels.length)
            out.write(b"\0")  # its room at once: growing takes an eighth more than is needed
            out.seek(start)
        out.write(first)
        out.writelines(parts)
        out.truncate()
        if pixels.encapsulated:
            out.write(_DELIMITER)
            return
        out.write(bytes((out.tell() - start) % 2))
        length = out.tell() - start
        out.seek(start - 4)
        out.write(self._pixel_head(pixels, length)[-4:])
        out.seek(0, SEEK_END)

    def pixels(self, pixels: PixelValue) -> Iterator[bytes | bytearray | memoryview]:
        """A native pixel element, for where its length cannot be filled in later."""
        parts, length = pixels.parts, pixels.length
        if length is None:
            parts = parts if isinstance(parts, tuple | list) else (b"".join(parts),)
            length = sum(map(len, parts))
        yield self._pixel_head(pixels, length + length % 2)
        written = 0
        for part in parts:
            written += len(part)
            yield part
        if written != length:
            raise ValueError("the pixels have another length than was said")
        yield bytes(length % 2)

    def _pixel_head(self, pixels: PixelValue, length: int) -> bytes:
        if length >= UNDEFINED and not pixels.encapsulated:
            raise ImageTooLarge(f"{name(pixels.tag)} is longer than a DICOM file can state")
        group, number = pixels.tag >> 16, pixels.tag & 0xFFFF
        if self._implicit:
            return self._pack(group, number, length)
        return self._pack_long(group, number, pixels.vr.encode(), 0, length)


def _number(item: tuple[BaseTag, object]) -> int:
    return int(item[0])  # BaseTag compares in Python, an int does not


def _is_plain(value: bytes | None) -> bool:
    """Whether text is the same in every character set."""
    return not value or (value.isascii() and b"\x1b" not in value)


def _settled(element: DataElement) -> str:
    """The VR of an attribute that has several (PS3.6): words, or numbers that go by their sign."""
    if element.VR != "US or SS":
        return "OW"
    value: Any = element.value
    values = value if isinstance(value, list | MultiValue) else [value]
    return "SS" if any(isinstance(number, int) and number < 0 for number in values) else "US"


def _charset(element: DataElement | RawDataElement | None, inherited: list[str]) -> list[str]:
    """Python codecs of the text in a data set, by its Specific Character Set."""
    if element is None:
        return inherited
    return convert_encodings(texts(element))


def _swapped(value: bytes, size: int) -> bytes:
    """The same words in the other byte order. What is left over stays as it is."""
    whole = len(value) // size * size
    words = bytearray(value[:whole])
    for place in range(size // 2):
        words[place::size], words[size - 1 - place :: size] = words[size - 1 - place :: size], words[place::size]
    return bytes(words) + value[whole:]
