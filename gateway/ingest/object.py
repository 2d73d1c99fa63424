"""Step 2 of 7: a whole object that may still identify a patient: a DICOM object with or without pixels, or a raster.

``IdentifiableImage`` is for models: chosen frames as a person would see them. This is for giving the object back: all
frames, as they are stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from gateway.ingest.raster import RasterPixels
    from gateway.ingest.stored import StoredPixels
    from gateway.ingest.upload import MediaType


@dataclass(frozen=True, slots=True, eq=False)
class IdentifiableObject:
    """Identifying. Lives in a worker process between ingest and de-identification, and nowhere else.

    Attributes:
        media_type: What the content is, by its own bytes.
        dataset: The DICOM data set without its pixel element; None for JPEG and PNG.
        pixels: DICOM pixels; None for a DICOM object without them (SR, RT plan, ...) and for JPEG and PNG.
        raster: The picture of a JPEG or PNG; None for DICOM.
        total_frames: Frames in the object; 0 without pixels.
        modality: Modality (0008,0060) if it is one of the Defined Terms (PS3.3 C.7.3.1.1.1); else None.
    """

    media_type: MediaType
    dataset: Dataset | None = field(repr=False)
    pixels: StoredPixels | None = field(repr=False)
    raster: RasterPixels | None = field(repr=False)
    total_frames: int
    modality: str | None
