"""Step 2 of 7: what the content is, by its own bytes. A declared type or a file name decides nothing.

A DICOM file is recognised by ``DICM`` at offset 128 (PS3.10 §7.1). A bare data set without preamble and file meta is
not a DICOM file: nothing in it names its encoding, so reading it would be a guess; it is refused as an unknown type.
"""

from __future__ import annotations

from gateway.errors import UnsafeFile, UnsupportedMediaType
from gateway.ingest.upload import MediaType

PREAMBLE = 128
_DICM = b"DICM"
_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*")
_UNDECLARED = frozenset({None, "", "application/octet-stream"})


def sniff(data: bytes) -> MediaType:
    """The media type of the content.

    Raises:
        UnsupportedMediaType: It is none of DICOM, JPEG and PNG.
        UnsafeFile: It is DICOM and its preamble is neither zero nor that of a TIFF: such a file can be a program as
            well (CVE-2019-11687). PS3.10 §7.1 lets the preamble serve other formats; only TIFF is in use for images.
    """
    if data[PREAMBLE : PREAMBLE + 4] == _DICM:
        preamble = data[:PREAMBLE]
        if any(preamble) and not preamble.startswith(_TIFF):
            raise UnsafeFile("The 128-byte preamble is neither zero nor a TIFF header")
        return MediaType.DICOM
    if data.startswith(_JPEG):
        return MediaType.JPEG
    if data.startswith(_PNG):
        return MediaType.PNG
    raise UnsupportedMediaType(
        "The content is none of: DICOM file (PS3.10, with preamble and file meta), JPEG, PNG",
        accepted=[str(kind) for kind in MediaType],
    )


def check_declared(declared: str | None, found: MediaType) -> None:
    """Refuse a content that is not what it was declared to be.

    Args:
        declared: Media type, lower case, without parameters. None and ``application/octet-stream`` declare nothing.
        found: What ``sniff`` said.

    Raises:
        UnsupportedMediaType: They differ.
    """
    if declared not in _UNDECLARED and declared != found:
        raise UnsupportedMediaType(f"The content is {found}, which is not the declared media type", found=str(found))
