"""Step 2 of 7: what arrived, before anything of it is believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pickle import PickleBuffer
from typing import Any, SupportsIndex


class MediaType(StrEnum):
    """The media types taken (RFC 2046; ``application/dicom``: RFC 3240)."""

    DICOM = "application/dicom"
    JPEG = "image/jpeg"
    PNG = "image/png"


@dataclass(frozen=True)
class Upload:
    """One body or one multipart part, in memory. A file name is never kept: it often is the patient's name.

    Attributes:
        data: The bytes as they came. Identifying; never shown in a repr, logged, or written to a disk.
        declared: The media type that the caller declared, lower case, without parameters; None if it declared none.
    """

    data: bytes = field(repr=False)
    declared: str | None = None

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """To a worker its bytes go beside the pickle, not through it (PEP 574)."""
        data = PickleBuffer(self.data) if int(protocol) >= 5 else self.data
        return _upload, (data, self.declared)


def _upload(data: PickleBuffer | bytes | memoryview, declared: str | None) -> Upload:
    return Upload(bytes(data), declared)
