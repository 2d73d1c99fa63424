"""Step 2 of 7: a decoded image that may still identify a patient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydicom.dataset import Dataset

    from gateway.ingest.upload import MediaType

DisplayFrame: TypeAlias = npt.NDArray[np.uint8]
"""One frame as a person would see it: uint8, [height, width] grey or [height, width, 3] RGB, 0 is black."""


@dataclass(frozen=True, slots=True)
class StoredSize:
    """How the picture lies in the file: a frame may be rendered smaller than it, and turned.

    Attributes:
        rows, columns: Pixels as stored; of DICOM Rows (0028,0010) and Columns (0028,0011).
        orientation: How rendering turns it: 1 to 8 as in EXIF's Orientation (CIPA DC-008, tag 0x0112); 1 not at all.
    """

    rows: int
    columns: int
    orientation: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class IdentifiableImage:
    """Identifying. Lives in a worker process between ingest and de-identification, and nowhere else.

    Attributes:
        media_type: What the content is, by its own bytes.
        dataset: The DICOM header without Pixel Data; None for JPEG and PNG.
        frame_numbers: The selected frames, 1-based as in DICOM; (1,) for JPEG and PNG.
        total_frames: Frames in the object.
        modality: Modality (0008,0060) if it is one of the Defined Terms (PS3.3 C.7.3.1.1.1); else None.
        body_part: Body Part Examined (0018,0015), as the file has it; None if it says nothing. To be compared, never
            to be repeated: a file may hold anything there.
        render: Decodes and renders one selected frame (a frame number in, a display frame out), so that only one frame
            need be in memory. Does not read ``dataset``, so that may be changed before. Raises Unreadable.
        stored: Every frame's size in the file; None where it is that of the rendered frames.
        segments: For JPEG and PNG: kind of metadata segment (``exif``, ``xmp``, ``comment``, ...) to how many there
            were; none of them outlives decoding. Empty for DICOM.
    """

    media_type: MediaType
    dataset: Dataset | None = field(repr=False)
    frame_numbers: tuple[int, ...]
    total_frames: int
    modality: str | None
    body_part: str | None = field(repr=False)
    render: Callable[[int], DisplayFrame] = field(repr=False)
    stored: StoredSize | None = None
    segments: dict[str, int] = field(default_factory=dict)

    def frames(self) -> Iterator[tuple[int, DisplayFrame]]:
        """The selected frames in order, decoded one by one."""
        for number in self.frame_numbers:
            yield number, self.render(number)
