"""The batch tool: what a file is, by its first bytes, so that a folder's other files are not read whole."""

from __future__ import annotations

from enum import Enum, auto

from gateway.errors import GatewayError, UnsupportedMediaType
from gateway.ingest.sniff import PREAMBLE, sniff

HEAD_BYTES = 1024

_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
"""A member, the end of an empty archive, a spanned archive (PKWARE APPNOTE 4.3)."""

_DIRECTORY = b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"
"""Media Storage SOP Class UID of a DICOMDIR, as file meta encodes it (PS3.10 7.1, 8.6)."""

_BARE_GROUPS = (b"\x02\x00", b"\x08\x00")
_BARE_ELEMENTS = frozenset({0x00, 0x01, 0x02, 0x05, 0x08, 0x10, 0x12, 0x14, 0x16, 0x18})


class Kind(Enum):
    """What the first bytes say."""

    IMAGE = auto()
    """A DICOM file, JPEG or PNG; also one that step 2 will refuse with a reason."""
    ZIP = auto()
    DIRECTORY = auto()
    """A DICOMDIR."""
    BARE = auto()
    """Looks like a DICOM data set without preamble and file meta."""
    OTHER = auto()


def kind_of(head: bytes) -> Kind:
    """What a file is.

    Args:
        head: Its first ``HEAD_BYTES`` bytes, or all of it if it is shorter.
    """
    if head.startswith(_ZIP):
        return Kind.ZIP
    try:
        sniff(head)
    except UnsupportedMediaType:
        return Kind.BARE if _is_bare(head) else Kind.OTHER
    except GatewayError:
        return Kind.IMAGE
    return Kind.DIRECTORY if _DIRECTORY in head[PREAMBLE:] else Kind.IMAGE


def _is_bare(head: bytes) -> bool:
    """Whether it starts with an element that data sets start with: (0002,00xx) or (0008,00xx), little endian."""
    return len(head) > 8 and head[:2] in _BARE_GROUPS and head[2] in _BARE_ELEMENTS and head[3] == 0
