"""Step 2 of 7: the element structure of a data set (PS3.5 §7), read strictly by ourselves.

pydicom follows whatever lengths it is given, without bound on depth or number, and parses nested sequences late, when
they are touched. So it never sees the bytes: this module reads every header, checks it, and hands on single values.

Refused: a length beyond what remains; an item longer than its sequence, or an element longer than its item (such a file
can pull an element under a private creator that is not its own); a tag twice in one data set; undefined lengths where
none may be; file meta or delimiters out of place; more elements or nesting than the limits.
What follows Pixel Data is not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from gateway.errors import ImageTooLarge, Unreadable, UnsafeFile

if TYPE_CHECKING:
    from collections.abc import Container, MutableSequence

    from gateway.settings import IngestSettings

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
CHARACTER_SET = 0x00080005
_LITTLE_ENDIAN_ITEM, _BIG_ENDIAN_ITEM = b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"
PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
"""Float Pixel Data, Double Float Pixel Data, Pixel Data."""

VALUES_PER_ELEMENT = 10
"""Values that an element may have on average. Numbers and lists become Python objects of some hundred bytes each."""

_NUMBERS = {"US": 2, "SS": 2, "US or SS": 2, "UL": 4, "SL": 4, "FL": 4, "AT": 4, "FD": 8, "SV": 8, "UV": 8}
_LISTS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UC", "UI", "UN"})
_LONG_VRS = frozenset(vr.value.encode() for vr in EXPLICIT_VR_LENGTH_32)
_SHORT_VRS = frozenset(vr.value.encode() for vr in EXPLICIT_VR_LENGTH_16)


class Encoding(NamedTuple):
    """How data elements are written."""

    implicit: bool
    little_endian: bool


IMPLICIT_LITTLE = Encoding(implicit=True, little_endian=True)


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where the pixels are: ``data[start:end]``, fragments and their delimiter included if encapsulated."""

    tag: int
    vr: str
    start: int
    end: int
    encapsulated: bool


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """A data set without its pixels; where these are; where reading stopped."""

    dataset: Dataset
    pixels: PixelElement | None
    end: int


class Header(NamedTuple):
    """Tag, VR (None where implicit), length, and where the value starts."""

    tag: int
    vr: str | None
    length: int
    start: int


def name(tag: int) -> str:
    """``(gggg,eeee)`` for an error's detail."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def encoding_seen(data: bytes, start: int, *, little_endian: bool = True) -> Encoding:
    """How a data set is written, by its first element: explicit if there is a VR behind the tag.

    Read as an implicit length those two letters would be 16 kB or more, which no first element has. Needed because some
    writers contradict the transfer syntax that they name, and PS3.5 §6.2.2 where they write items under an UN.
    """
    vr = data[start + 4 : start + 6]
    return Encoding(implicit=vr not in _SHORT_VRS and vr not in _LONG_VRS, little_endian=little_endian)


def read_structure(
    data: bytes, start: int, encoding: Encoding, limits: IngestSettings, *, file_meta: bool = False
) -> Structure:
    """Read one data set.

    Args:
        data: The whole file, or the inflated data set.
        start: Where the data set starts.
        encoding: How it is written.
        limits: ``max_elements`` and ``max_depth``.
        file_meta: Read group 0002 only and stop behind it; else group 0002 is refused.

    Returns:
        Top-level values still raw, as pydicom's own reader leaves them; give the data set to ``settle``.

    Raises:
        UnsafeFile: The structure contradicts itself.
        ImageTooLarge: More elements or nesting than the limits.
        Unreadable: An unknown VR.
    """
    reader = _Reader(data, limits, file_meta=file_meta)
    dataset, end = reader.dataset(start, len(data), encoding, depth=0, charset=default_encoding, delimited=False)
    return Structure(dataset, reader.pixels, end)


class _Reader:
    def __init__(self, data: bytes, limits: IngestSettings, *, file_meta: bool) -> None:
        self.pixels: PixelElement | None = None
        self._data = data
        self._limits = limits
        self._file_meta = file_meta
        self._elements = 0
        self._values = 0
        self._words = {little: Struct("<HHL" if little else ">HHL") for little in (True, False)}
        self._shorts = {little: Struct("<H" if little else ">H") for little in (True, False)}
        self._longs = {little: Struct("<L" if little else ">L") for little in (True, False)}

    def dataset(
        self,
        position: int,
        end: int,
        encoding: Encoding,
        *,
        depth: int,
        charset: str | MutableSequence[str],
        delimited: bool,
    ) -> tuple[Dataset, int]:
        """One data set, the top one or an item's. ``delimited``: it ends with an item delimiter, before ``end``."""
        if depth > self._limits.max_depth:
            raise ImageTooLarge(f"Sequences are nested deeper than {self._limits.max_depth} levels")
        dataset = Dataset(parent_encoding=charset)
        elements = dataset._dict  # noqa: SLF001 - as pydicom's reader fills it: values stay raw until they are settled
        closed = not delimited
        while position < end:
            if depth == 0 and end - position < 8:
                break  # a stray tail, shorter than any element; not kept
            if depth == 0 and self._file_meta and self._data[position : position + 2] != b"\x02\x00":
                break  # before its header is read: the data set may be written otherwise, or be deflated
            header = self._header(position, end, encoding)
            if header.tag == ITEM_END and delimited:
                position, closed = self._empty(header), True
                break
            self._check(header, elements, depth)
            if header.tag in PIXEL_TAGS and depth == 0:
                self.pixels, position = self._pixels(header, end, encoding)
                break
            element, position = self._element(header, end, encoding, depth, charset=charset, dataset=dataset)
            if header.tag & 0xFFFF == 0 and header.tag >> 16 > 2:
                continue  # group lengths are retired, and wrong as soon as an element goes
            if isinstance(element, DataElement):
                dataset[element.tag] = element  # tells the items their parent
            else:
                elements[element.tag] = element
                if header.tag == CHARACTER_SET:
                    charset = self._charset(element)
        if not closed:
            raise UnsafeFile("A sequence item has no end")
        dataset.set_original_encoding(encoding.implicit, encoding.little_endian, charset)
        return dataset, position

    def _check(self, header: Header, elements: Container[int], depth: int) -> None:
        tag = header.tag
        self._count()
        if tag >> 16 == 0xFFFE:
            raise UnsafeFile(f"{name(tag)} stands where a data element must")
        if (tag >> 16 == 2) != (self._file_meta and depth == 0):
            raise UnsafeFile(f"{name(tag)} of the file meta stands outside it")
        if tag in elements:
            raise UnsafeFile(f"{name(tag)} occurs twice in one data set")

    def _count(self) -> None:
        self._elements += 1
        if self._elements > self._limits.max_elements:
            raise ImageTooLarge(f"The file has more than {self._limits.max_elements} data elements")

    def _count_values(self, kind: str | None, value: bytes) -> None:
        if kind in _NUMBERS:
            self._values += len(value) // _NUMBERS[kind]
        elif kind is None or kind in _LISTS:
            self._values += value.count(b"\\") + 1
        if self._values > VALUES_PER_ELEMENT * self._limits.max_elements:
            raise ImageTooLarge(f"The file has more than {VALUES_PER_ELEMENT * self._limits.max_elements} values")

    def _header(self, position: int, end: int, encoding: Encoding) -> Header:
        """A header that lies before ``end``; the value's length is checked by who reads the value."""
        if end - position < 8:
            raise UnsafeFile("A data element's header goes beyond the end of what holds it")
        group, number, length = self._words[encoding.little_endian].unpack_from(self._data, position)
        tag = group << 16 | number
        if encoding.implicit or group == 0xFFFE:
            return Header(tag, None, length, position + 8)
        vr = self._data[position + 4 : position + 6]
        if vr in _SHORT_VRS:
            (length,) = self._shorts[encoding.little_endian].unpack_from(self._data, position + 6)
            return Header(tag, vr.decode(), length, position + 8)
        if vr not in _LONG_VRS:
            raise Unreadable(f"{name(tag)} has a value representation that PS3.5 does not define")
        if end - position < 12:
            raise UnsafeFile("A data element's header goes beyond the end of what holds it")
        (length,) = self._longs[encoding.little_endian].unpack_from(self._data, position + 8)
        return Header(tag, vr.decode(), length, position + 12)

    def _element(
        self,
        header: Header,
        end: int,
        encoding: Encoding,
        depth: int,
        *,
        charset: str | MutableSequence[str],
        dataset: Dataset,
    ) -> tuple[DataElement | RawDataElement, int]:
        tag, vr, length, start = header
        if length != UNDEFINED and length > end - start:
            raise UnsafeFile(f"{name(tag)} declares more bytes than remain")
        kind = self._kind(header, dataset)
        if kind == "SQ":
            inner = encoding
            if vr == "UN":  # then its items are in implicit VR little endian (PS3.5 §6.2.2), unless the writer forgot
                little_endian = self._data[start : start + 4] != _BIG_ENDIAN_ITEM
                inner = encoding_seen(self._data, start + 8, little_endian=little_endian)
            items, position = self._sequence(header, end, inner, depth, charset)
            sequence = Sequence(items)
            sequence.is_undefined_length = length == UNDEFINED
            element = DataElement(BaseTag(tag), "SQ", sequence, start, is_undefined_length=length == UNDEFINED)
            return element, position
        if length == UNDEFINED:
            if kind not in ("OB", "OW", "OB or OW"):
                raise UnsafeFile(f"{name(tag)} has an undefined length, which its value representation does not allow")
            position = self._fragments(start, end, encoding)
            value = self._data[start : position - 8]
        else:
            position = start + length
            value = self._data[start:position]
            self._count_values(kind, value)
        raw = RawDataElement(BaseTag(tag), kind, length, value, start, encoding.implicit, encoding.little_endian)
        return raw, position

    def _kind(self, header: Header, dataset: Dataset) -> str | None:
        """The VR to read the value by; ``SQ`` if it holds items, whatever it is called."""
        tag, vr, length, start = header
        if vr not in (None, "UN"):
            return vr
        known = _dictionary_vr(tag, dataset)
        items = self._data[start : start + 4] in (_LITTLE_ENDIAN_ITEM, _BIG_ENDIAN_ITEM)
        if known == "SQ" or length == UNDEFINED:
            if vr is None and known in ("OB or OW", "OB", "OW"):
                return known
            if known == "SQ" and length and not items and tag >> 16 & 1 and length != UNDEFINED:
                return "OB"  # a private dictionary errs; as plain bytes nothing can nest in it
            return "SQ"
        if known is None and items and length >= 8:
            return "SQ"
        return vr or known

    def _sequence(
        self, header: Header, end: int, encoding: Encoding, depth: int, charset: str | MutableSequence[str]
    ) -> tuple[list[Dataset], int]:
        position = header.start
        delimited = header.length == UNDEFINED
        if not delimited:
            end = position + header.length
        items: list[Dataset] = []
        while delimited or position < end:
            item = self._header(position, end, encoding)
            if item.tag == SEQUENCE_END and delimited:
                return items, self._empty(item)
            if item.tag != ITEM:
                raise UnsafeFile(f"{name(header.tag)} holds something that is not an item")
            self._count()
            open_end = item.length == UNDEFINED
            if not open_end and item.length > end - item.start:
                raise UnsafeFile(f"{name(header.tag)} holds an item that is longer than it")
            item_end = end if open_end else item.start + item.length
            dataset, position = self.dataset(
                item.start, item_end, encoding, depth=depth + 1, charset=charset, delimited=open_end
            )
            dataset.is_undefined_length_sequence_item = open_end
            items.append(dataset)
        return items, position

    def _pixels(self, header: Header, end: int, encoding: Encoding) -> tuple[PixelElement, int]:
        tag, vr, length, start = header
        if vr not in (None, "OB", "OW", "OF", "OD", "UN"):
            raise Unreadable(f"{name(tag)} has a value representation that cannot hold pixels")
        if length == UNDEFINED:
            stop = self._fragments(start, end, encoding)
            return PixelElement(tag, vr or "OB", start, stop, encapsulated=True), stop
        if length > end - start:
            raise UnsafeFile(f"{name(tag)} declares more bytes than remain")
        return PixelElement(tag, vr or "OW", start, start + length, encapsulated=False), start + length

    def _fragments(self, position: int, end: int, encoding: Encoding) -> int:
        """Walk encapsulated fragments (PS3.5 A.4). Returns the position behind the sequence delimiter."""
        while True:
            item = self._header(position, end, Encoding(implicit=True, little_endian=encoding.little_endian))
            if item.tag == SEQUENCE_END:
                return self._empty(item)
            if item.tag != ITEM or item.length > end - item.start:
                raise UnsafeFile("A pixel data fragment is longer than what remains, or is none")
            self._count()
            position = item.start + item.length

    def _empty(self, delimiter: Header) -> int:
        if delimiter.length:
            raise UnsafeFile(f"The delimiter {name(delimiter.tag)} has a length")
        return delimiter.start

    def _charset(self, element: RawDataElement) -> str | MutableSequence[str]:
        values = (element.value or b"").decode("ascii", "replace").split("\\")
        return convert_encodings([value.strip(" \0") for value in values])


def _dictionary_vr(tag: int, dataset: Dataset) -> str | None:
    """The VR by the dictionary, or by the private dictionary of the block's creator in this same data set."""
    if not tag >> 16 & 1:
        try:
            return dictionary_VR(tag)
        except KeyError:
            return None
    creator = dataset._dict.get(BaseTag(tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8))  # noqa: SLF001 - raw, not converted
    if not isinstance(creator, RawDataElement) or tag & 0xFFFF < 0x1000:
        return None
    try:
        return private_dictionary_VR(tag, (creator.value or b"").decode("latin-1").strip(" \0"))
    except KeyError:
        return None
