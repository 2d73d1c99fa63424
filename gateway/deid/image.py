"""Step 3 of 7: an image that identifies nobody. Only the de-identification engine can make one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from gateway.deid.pixels import Outline
    from gateway.deid.report import DeidReport
    from gateway.ingest.image import DisplayFrame, StoredSize
    from gateway.ingest.upload import MediaType

_SEAL = object()
"""Held by this module and taken by gateway.deid.engine alone; a test walks the sources and holds that."""


@dataclass(frozen=True)
class Pseudonyms:
    """Stable stand-ins, the same for the same input under the same key; not reversible without it.

    Attributes:
        patient: Keyed hash of Patient ID and its issuer; None if the object has none.
        study: New Study Instance UID (``2.25.``); None if the object has none.
        series: New Series Instance UID; likewise.
        instance: New SOP Instance UID; likewise.
    """

    patient: str | None = None
    study: str | None = None
    series: str | None = None
    instance: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SanitizedImage:
    """De-identified. The only thing that preprocessing takes: the privacy promise is a type check first.

    Attributes:
        frames: Display frames with burned-in text masked; uint8, [height, width] or [height, width, 3].
        frame_numbers: Their numbers in the object, 1-based.
        total_frames: Frames in the object.
        modality: As in IdentifiableImage.
        dataset: The de-identified DICOM header without Pixel Data; None for JPEG and PNG.
        pseudonyms: Stand-ins of the identifiers that link objects.
        report: What was done; counts and tag numbers, no values.
        stored: As in IdentifiableImage.
        masks: The outlines of what is masked in each frame; none at all where nothing was looked at.
    """

    frames: tuple[DisplayFrame, ...] = field(repr=False)
    frame_numbers: tuple[int, ...]
    total_frames: int
    modality: str | None
    dataset: Dataset | None = field(repr=False)
    pseudonyms: Pseudonyms
    report: DeidReport
    stored: StoredSize | None
    masks: tuple[tuple[Outline, ...], ...]
    seal: object = field(repr=False)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("only gateway.deid.engine makes a SanitizedImage")


@dataclass(frozen=True, slots=True, eq=False)
class SanitizedObject:
    """A whole object, de-identified: the file that is given back.

    Attributes:
        data: The file.
        media_type: What it is now: a raster may come back as another kind than it came as.
        dataset: The de-identified DICOM data set without its pixel element; None for JPEG and PNG.
        pseudonyms: Stand-ins of the identifiers that link objects.
        report: What was done; counts, tag numbers and names of the policy's own, no values.
    """

    data: bytes = field(repr=False)
    media_type: MediaType
    dataset: Dataset | None = field(repr=False)
    pseudonyms: Pseudonyms
    report: DeidReport
    seal: object = field(repr=False)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("only gateway.deid.engine makes a SanitizedObject")
