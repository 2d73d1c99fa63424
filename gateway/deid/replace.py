"""Step 3 of 7: a new value in the place of an element's old one, without pydicom's conversions where bytes will do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pydicom.charset import decode_bytes
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.multival import MultiValue
from pydicom.valuerep import TEXT_VR_DELIMS

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from gateway.deid.values import Element

_raw = partial(tuple.__new__, RawDataElement)
_SINGLE = frozenset({"LT", "ST", "UR", "UT"})
"""Text VRs in which a backslash is a letter (PS3.5 6.2)."""


def with_ascii(element: Element, vr: str, text: str) -> Element:
    """The element with another ASCII value; several are separated by backslash."""
    if isinstance(element, RawDataElement):
        value = text.encode("ascii")
        if len(value) % 2:
            value += b"\0" if vr == "UI" else b" "
        return raw_like(element, vr, value)
    parts: Any = text.split("\\") if vr not in _SINGLE else [text]
    return DataElement(element.tag, vr, parts[0] if len(parts) == 1 else MultiValue(str, parts))


def raw_like(element: RawDataElement, vr: str, value: bytes) -> RawDataElement:
    """A raw element with another value."""
    return _raw(
        (
            element.tag, vr, len(value), value, element.value_tell, element.is_implicit_VR, element.is_little_endian,
            True, False,
        )
    )  # fmt: skip


def emptied(element: Element, vr: str) -> Element:
    """The element with no value; a sequence with no items."""
    if vr != "SQ" and isinstance(element, RawDataElement):
        return raw_like(element, vr, b"")
    return DataElement(element.tag, vr, [] if vr == "SQ" else None)


def words_of(element: Element, vr: str, encodings: MutableSequence[str]) -> list[str]:
    """The values of a text element, decoded.

    Args:
        element: Raw or converted.
        vr: Its VR.
        encodings: Python codecs of the data set that it stands in.

    Raises:
        Exception: Whatever a codec raises for bytes that it does not know.
    """
    value = element.value
    if value is None:
        return []
    if isinstance(value, bytes):
        plain = value.isascii() and b"\x1b" not in value
        text = value.decode("ascii") if plain else decode_bytes(value, encodings, TEXT_VR_DELIMS)
        text = text.rstrip(" \0")
        return [text] if vr in _SINGLE else text.split("\\")
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return [str(value)]
    return [str(part) for part in value]


def with_words(element: Element, vr: str, parts: list[str]) -> DataElement:
    """The element with other text, to be encoded as the data set's character set says."""
    return DataElement(element.tag, vr, parts[0] if len(parts) == 1 else MultiValue(str, parts))
