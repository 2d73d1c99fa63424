"""Step 2 of 7: the pixels of a DICOM object as they are stored, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.ingest.guard import fence

if TYPE_CHECKING:
    from gateway.ingest.codecs import PixelSource, Stored
    from gateway.ingest.image import DisplayFrame
    from gateway.ingest.photometric import Display
    from gateway.ingest.structure import PixelElement


@dataclass(frozen=True, slots=True, eq=False)
class StoredPixels:
    """Where the frames are, and how to decode and show them. One is in memory at a time.

    Attributes:
        element: Tag and VR of the pixel element.
        source: Decodes.
        display: Shows.
    """

    element: PixelElement
    source: PixelSource = field(repr=False)
    display: Display = field(repr=False)

    def decode(self, number: int) -> tuple[Stored, str]:
        """Stored values of one frame, and their photometric interpretation. Raises Unreadable."""
        with fence("A frame cannot be decoded"):
            return self.source.decode(number)

    def show(self, number: int, stored: Stored, photometric: str) -> DisplayFrame:
        """A frame as a person would see it. Raises Unreadable."""
        with fence("A frame cannot be shown"):
            return self.display.render(number, stored, photometric)
