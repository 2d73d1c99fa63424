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
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from pydicom.charset import convert_encodings, default_encoding
from pydicom.config import IGNORE
from pydicom.datadict import private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from gateway.errors import ImageTooLarge, Unreadable, UnsafeFile
from gateway.ingest.vr import LONG, NUMBERS, SHORT, TAGS, bare_dataset, known_vr

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom.dataset import Dataset

    from gateway.ingest.vr import Charset, Elements
    from gateway.settings import IngestSettings

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
CHARACTER_SET = 0x00080005
_LITTLE_ENDIAN_ITEM, _BIG_ENDIAN_ITEM = b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"
PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
"""Float Pixel Data, Double Float Pixel Data, Pixel Data."""

VALUES_PER_ELEMENT = 10
"""Values that an element may have on average. Numbers and lists become Python objects of some hundred bytes each."""

_LISTS = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UC", "UI", "UN")
_COUNTED = {**NUMBERS, "US or SS": 2, **dict.fromkeys(_LISTS, 0)}
"""VRs of several values: bytes of one, 0 for lists separated by backslashes."""
_FRAGMENTED = ("OB", "OW", "OB or OW")

_raw = partial(tuple.__new__, RawDataElement)  # twice as fast as its constructor, which only adds defaults


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


class _Layout(NamedTuple):
    """How to unpack a header in one byte order."""

    implicit: Callable[[bytes, int], tuple[int, int, int]]
    """Group, element, length."""
    explicit: Callable[[bytes, int], tuple[int, int, bytes, int]]
    """Group, element, VR, length of 16 bits."""
    length: Callable[[bytes, int], tuple[int]]
    """Of 32 bits."""


_LAYOUTS = {
    little: _Layout(*(Struct(order + code).unpack_from for code in ("HHL", "HH2sH", "L")))
    for little, order in ((True, "<"), (False, ">"))
}


def name(tag: int) -> str:
    """``(gggg,eeee)`` for an error's detail."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def encoding_seen(data: bytes, start: int, *, little_endian: bool = True) -> Encoding:
    """How a data set is written, by its first element: explicit if there is a VR behind the tag.

    Read as an implicit length those two letters would be 16 kB or more, which no first element has. Needed because some
    writers contradict the transfer syntax that they name, and PS3.5 §6.2.2 where they write items under an UN.
    """
    vr = data[start + 4 : start + 6]
    return Encoding(implicit=vr not in SHORT and vr not in LONG, little_endian=little_endian)


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
        Values still raw, as pydicom's own reader leaves them; give the data set to ``settle``.

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
        self._max_elements = limits.max_elements
        self._max_depth = limits.max_depth
        self._file_meta = file_meta
        self._elements = 0
        self._values = 0

    def dataset(
        self, position: int, end: int, encoding: Encoding, *, depth: int, charset: Charset, delimited: bool
    ) -> tuple[Dataset, int]:
        """One data set, the top one or an item's. ``delimited``: it ends with an item delimiter, before ``end``.

        The loop runs once an element, and is most of what reading a header costs: so it is long, and calls little.
        """
        if depth > self._max_depth:
            raise ImageTooLarge(f"Sequences are nested deeper than {self._max_depth} levels")
        data, most, inherited, closed = self._data, self._max_elements, charset, not delimited
        implicit, little_endian = encoding
        unpack_implicit, unpack_explicit, unpack_length = _LAYOUTS[little_endian]
        meta = self._file_meta and not depth
        elements: Elements = {}
        while position < end:
            if end - position < 8:
                if not depth:
                    break  # a stray tail, shorter than any element; not kept
                raise _beyond()
            if meta and data[position : position + 2] != b"\x02\x00":
                break  # before its header is read: the data set may be written otherwise, or be deflated
            declared: str | None = None
            start = position + 8
            if implicit:
                group, number, length = unpack_implicit(data, position)
            else:
                group, number, code, length = unpack_explicit(data, position)
                if group == 0xFFFE:
                    (length,) = unpack_length(data, position + 4)
                elif (declared := SHORT.get(code)) is None:
                    if (declared := LONG.get(code)) is None:
                        where = name(group << 16 | number)
                        raise Unreadable(f"{where} has a value representation that PS3.5 does not define")
                    start = position + 12
                    if start > end:
                        raise _beyond()
                    (length,) = unpack_length(data, position + 8)
            tag = group << 16 | number
            if tag == ITEM_END and delimited:
                position, closed = _behind(tag, length, start), True
                break
            self._elements += 1
            if self._elements > most:
                raise self._too_many()
            if group == 0xFFFE:
                raise UnsafeFile(f"{name(tag)} stands where a data element must")
            if (group == 2) != meta:
                raise UnsafeFile(f"{name(tag)} of the file meta stands outside it")
            if tag in elements:
                raise UnsafeFile(f"{name(tag)} occurs twice in one data set")
            if length > end - start and length != UNDEFINED:
                raise UnsafeFile(f"{name(tag)} declares more bytes than remain")
            if not depth and tag in PIXEL_TAGS:
                position = self._pixels(tag, declared, start, length, end, little_endian=little_endian)
                break

            vr = declared
            if vr is None or vr == "UN":
                vr = self._kind(tag, vr, start, length, elements)
            key = TAGS.get(tag) or BaseTag(tag)
            element: DataElement | RawDataElement
            if vr == "SQ":
                inner = encoding if declared != "UN" else self._inside_unknown(start)
                items, position = self._sequence(tag, start, length, end, inner, depth=depth, charset=charset)
                undefined = length == UNDEFINED
                items.is_undefined_length = undefined
                element = DataElement(key, "SQ", items, start, undefined, True, IGNORE)
            else:
                if length == UNDEFINED:
                    if vr not in _FRAGMENTED:
                        raise UnsafeFile(f"{name(tag)} has an undefined length, which its VR does not allow")
                    position = self._fragments(start, end, little_endian=little_endian)
                    value = data[start : position - 8]
                else:
                    position = start + length
                    value = data[start:position]
                    if (size := _COUNTED.get(vr)) is not None:
                        self._values += length // size if size else value.count(b"\\") + 1
                        if self._values > VALUES_PER_ELEMENT * most:
                            raise ImageTooLarge(f"The file has more than {VALUES_PER_ELEMENT * most} values")
                element = _raw((key, vr, length, value, start, implicit, little_endian, True, False))
                if tag == CHARACTER_SET:
                    charset = _codecs(value)
            if number or group == 2:  # other group lengths are retired, and wrong as soon as an element goes
                elements[key] = element
        if not closed:
            raise UnsafeFile("A sequence item has no end")
        return bare_dataset(elements, encoding, inherited, charset), position

    def _count(self) -> None:
        self._elements += 1
        if self._elements > self._max_elements:
            raise self._too_many()

    def _too_many(self) -> ImageTooLarge:
        return ImageTooLarge(f"The file has more than {self._max_elements} data elements")

    def _kind(self, tag: int, declared: str | None, start: int, length: int, elements: Elements) -> str:
        """The VR to read a value by that declares none, or ``UN``: ``SQ`` if it holds items, else the dictionary's."""
        known = known_vr(tag) or _private_vr(tag, elements)
        items = self._data[start : start + 4] in (_LITTLE_ENDIAN_ITEM, _BIG_ENDIAN_ITEM)
        if known == "SQ" or length == UNDEFINED:
            if declared is None and known in _FRAGMENTED:
                return known
            if known == "SQ" and length and not items and tag >> 16 & 1 and length != UNDEFINED:
                return "OB"  # a private dictionary errs; as plain bytes nothing can nest in it
            return "SQ"
        if known is None and items and length >= 8:
            return "SQ"
        if known is None and tag >> 16 & 1 and 0x10 <= tag & 0xFFFF < 0x100:
            return "LO"  # a private creator (PS3.5 §7.8.1)
        if known is None or (declared == "UN" and length >= 0xFFFF):  # a length for which UN is right (PS3.5 §6.2.2)
            return "UN"
        return known

    def _inside_unknown(self, start: int) -> Encoding:
        """How items under an UN are written: implicit VR little endian (PS3.5 §6.2.2), unless the writer forgot."""
        little_endian = self._data[start : start + 4] != _BIG_ENDIAN_ITEM
        return encoding_seen(self._data, start + 8, little_endian=little_endian)

    def _sequence(
        self, tag: int, position: int, length: int, end: int, encoding: Encoding, *, depth: int, charset: Charset
    ) -> tuple[Sequence, int]:
        unpack = _LAYOUTS[encoding.little_endian].implicit
        delimited = length == UNDEFINED
        if not delimited:
            end = position + length
        items: list[Dataset] = []
        while delimited or position < end:
            if end - position < 8:
                raise _beyond()
            group, number, length = unpack(self._data, position)
            position += 8
            if delimited and group == 0xFFFE and number == 0xE0DD:
                return Sequence(items), _behind(SEQUENCE_END, length, position)
            if group != 0xFFFE or number != 0xE000:
                raise UnsafeFile(f"{name(tag)} holds something that is not an item")
            self._count()
            open_end = length == UNDEFINED
            if not open_end and length > end - position:
                raise UnsafeFile(f"{name(tag)} holds an item that is longer than it")
            dataset, position = self.dataset(
                position,
                end if open_end else position + length,
                encoding,
                depth=depth + 1,
                charset=charset,
                delimited=open_end,
            )
            if open_end:
                dataset.is_undefined_length_sequence_item = True
            items.append(dataset)
        return Sequence(items), position

    def _pixels(self, tag: int, vr: str | None, start: int, length: int, end: int, *, little_endian: bool) -> int:
        if vr not in (None, "OB", "OW", "OF", "OD", "UN"):
            raise Unreadable(f"{name(tag)} has a value representation that cannot hold pixels")
        encapsulated = length == UNDEFINED
        stop = self._fragments(start, end, little_endian=little_endian) if encapsulated else start + length
        self.pixels = PixelElement(tag, vr or ("OB" if encapsulated else "OW"), start, stop, encapsulated)
        return stop

    def _fragments(self, position: int, end: int, *, little_endian: bool) -> int:
        """Walk encapsulated fragments (PS3.5 A.4). Returns the position behind the sequence delimiter."""
        unpack = _LAYOUTS[little_endian].implicit
        while True:
            if end - position < 8:
                raise _beyond()
            group, number, length = unpack(self._data, position)
            position += 8
            if group == 0xFFFE and number == 0xE0DD:
                return _behind(SEQUENCE_END, length, position)
            if group != 0xFFFE or number != 0xE000 or length > end - position:
                raise UnsafeFile("A pixel data fragment is longer than what remains, or is none")
            self._count()
            position += length


def _beyond() -> UnsafeFile:
    return UnsafeFile("A data element's header goes beyond the end of what holds it")


def _behind(delimiter: int, length: int, position: int) -> int:
    if length:
        raise UnsafeFile(f"The delimiter {name(delimiter)} has a length")
    return position


def _codecs(value: bytes) -> Charset:
    """Python codecs of Specific Character Set."""
    return convert_encodings([part.strip(" \0") for part in value.decode("ascii", "replace").split("\\")])


def _private_vr(tag: int, elements: Elements) -> str | None:
    """The VR by the private dictionary of the block's creator in this same data set."""
    if not tag >> 16 & 1 or tag & 0xFFFF < 0x1000:
        return None
    creator = elements.get(BaseTag(tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8))
    if not isinstance(creator, RawDataElement):
        return None
    try:
        return private_dictionary_VR(tag, (creator.value or b"").decode("latin-1").strip(" \0"))
    except KeyError:
        return None
