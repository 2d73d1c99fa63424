"""Step 6 of 7: a Dictionary of RFC 9651 (Structured Field Values for HTTP) from values of JSON's types."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 3 * 2**10
"""Longest field made. Servers in between commonly take 4 or 8 KiB for all fields of an answer together."""
CUT = "cut"
"""Member that says that others were left out, because the field would be too long."""


def dictionary(members: Mapping[str, Any], *, limit: int = MAX_BYTES) -> str:
    """The field's value. What has no place in it, or is null, is left out; an ``?1`` for ``cut`` then says so.

    Args:
        members: Names that are keys of RFC 9651 §3.1.2, to texts in printable ASCII (§3.3.3), whole numbers, numbers
            (three digits after the point are kept, §3.3.2), truth values, lists of these, and counts by name. A list
            becomes an Inner List; counts become one of strings, each with its number as the parameter ``n``.
        limit: Longest value, in bytes.

    Raises:
        ValueError: A text has other characters, or a number more digits than RFC 9651 allows.
    """
    written: list[str] = []
    left = limit - len(f", {CUT}")
    for name, value in members.items():
        if value is None:
            continue
        member = _member(name, value)
        left -= len(member) + 2
        if left < 0:
            return ", ".join([*written, CUT])
        written.append(member)
    return ", ".join(written)


def digest(sha256: bytes) -> str:
    """The value of Content-Digest (RFC 9530 §2): a Dictionary with one Byte Sequence."""
    return f"sha-256={_item(sha256)}"


def _member(name: str, value: Any) -> str:
    match value:
        case True:
            return name  # §4.1.2: the value of a bare key
        case dict():
            return f"{name}=({' '.join(f'{_item(key)};n={_item(count)}' for key, count in value.items())})"
        case list() | tuple():
            return f"{name}=({' '.join(map(_item, value))})"
    return f"{name}={_item(value)}"


def _item(value: object) -> str:
    match value:
        case bool():
            return f"?{value:d}"
        case int() if abs(value) < 10**15:
            return str(value)
        case float() if abs(value) < 10**12:
            text = f"{value:.3f}".rstrip("0")
            return text + "0" if text.endswith(".") else text
        case bytes():
            return f":{b64encode(value).decode()}:"
        case str() if value.isascii() and value.isprintable():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    raise ValueError(f"a {type(value).__name__} that a structured field cannot hold")
