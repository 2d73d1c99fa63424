"""Step 2 of 7: the pixels of a DICOM object as they are stored, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.ingest.guard import fence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.ingest.codecs import PixelSource, Stored
    from gateway.ingest.image import DisplayFrame
    from gateway.ingest.patch import Patch, Shown, Toned
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

    def decoded(self) -> Iterator[tuple[int, Stored, str]]:
        """Every frame in order: its number, and what ``decode`` gives. Raises Unreadable."""
        if not self.source.syntax.encapsulated:
            for number in range(1, self.source.header.frames + 1):
                yield number, *self.decode(number)
            return
        for number, frame in enumerate(self.encoded(), start=1):
            yield number, *self._decoded(frame)  # and no longer held here

    def _decoded(self, frame: bytes | memoryview) -> tuple[Stored, str]:
        with fence("A frame cannot be decoded"):
            return self.source.decode_encoded(frame)

    def encoded(self) -> Iterator[bytes | memoryview]:
        """The compressed frames in order. Raises Unreadable."""
        frames = self.source.encoded()
        while True:
            with fence("The frames cannot be told apart"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame

    def show(self, number: int, stored: Stored, photometric: str, patch: Patch | None = None) -> DisplayFrame:
        """A frame as a person would see it; patched where ``Display.patches``. Raises Unreadable."""
        with fence("A frame cannot be shown"):
            return self.display.render(number, stored, photometric, patch)

    def piecewise(
        self, number: int, stored: Stored, photometric: str, patch: Patch | None = None
    ) -> DisplayFrame | Shown:
        """The same, to be shown piece by piece."""
        with fence("A frame cannot be shown"):
            return self.display.piecewise(number, stored, photometric, patch)

    def show_all(self, number: int, stored: Stored, photometric: str, patch: Patch | None = None) -> Toned | None:
        """All stored values of a frame, whatever its window; None if ``show`` does that. Raises Unreadable."""
        with fence("A frame cannot be shown"):
            return self.display.full_range(number, stored, photometric, patch)
