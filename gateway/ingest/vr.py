"""Step 2 of 7: value representations (PS3.5 §6.2) and the attributes that have them (PS3.6), for quick look-up.

Made once, at import. Where pydicom's own look-ups take microseconds, a file of some hundred elements notices.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pydicom._dicom_dict import DicomDictionary
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

if TYPE_CHECKING:
    from collections.abc import MutableSequence
    from typing import TypeAlias

    from pydicom.dataelem import DataElement, RawDataElement

    Charset: TypeAlias = str | MutableSequence[str]
    Elements: TypeAlias = dict[BaseTag, DataElement | RawDataElement]

SHORT = {vr.value.encode(): vr.value for vr in EXPLICIT_VR_LENGTH_16}
LONG = {vr.value.encode(): vr.value for vr in EXPLICIT_VR_LENGTH_32}
"""VRs by their two letters: explicit headers of 8 bytes with a length of 16 bits; of 12 bytes with one of 32 bits."""

NUMBERS = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "AT": 4, "FD": 8, "SV": 8, "UV": 8}
"""Binary VRs: bytes of one value."""

TAGS = {tag: BaseTag(tag) for tag in DicomDictionary}
"""pydicom's key of every attribute. The same object every time: then a look-up by it needs no comparison in Python."""

LIKE_ASCII = frozenset(python_encoding.values())
"""Codecs of the standard's character sets. Each writes ASCII text as ASCII, if no escape sequence is in it."""

_KNOWN: dict[int, str] = {tag: entry[0] for tag, entry in DicomDictionary.items()}
_BLANK = vars(Dataset())


def known_vr(tag: int) -> str | None:
    """The VR that the dictionary gives an attribute, several as ``US or SS``; None if private or unknown."""
    return _KNOWN.get(tag) or _repeated_vr(tag)


@lru_cache(maxsize=1024)
def _repeated_vr(tag: int) -> str | None:
    if tag >> 16 & 1:
        return None
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


def bare_dataset(elements: Elements, encoding: tuple[bool, bool], inherited: Charset, own: Charset) -> Dataset:
    """A pydicom data set around elements, ten times as fast as by its constructor: an object has hundreds of items.

    Args:
        elements: Taken as they are, not copied.
        encoding: How raw elements are written: implicit VR, little endian.
        inherited: Python codecs of the text in the data set around it.
        own: Of its own text; ``inherited`` unless it declares others.
    """
    dataset = Dataset.__new__(Dataset)
    implicit, little_endian = encoding
    vars(dataset).update(
        _BLANK,
        _dict=elements,
        _parent_encoding=inherited,
        _read_implicit=implicit,
        _read_little=little_endian,
        _read_charset=own,
        _private_blocks={},
        _pixel_array_opts={"use_pdh": False},
        _pixel_id={},
    )
    return dataset
