"""Step 3 of 7: the pixels of a whole object: looked at frame by frame, masked as they are stored, ready to be written."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from gateway.deid.pixels import MaskedFrames, PixelMasker
from gateway.deid.write import PixelValue
from gateway.errors import NotSanitizable
from gateway.ingest.image import IdentifiableImage
from gateway.ingest.upload import MediaType

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from gateway.deid.pixel_policy import PixelPolicy
    from gateway.ingest.image import DisplayFrame
    from gateway.ingest.object import IdentifiableObject
    from gateway.ingest.raster import RasterPixels
    from gateway.ingest.stored import StoredPixels

_DELIMITER = bytes.fromhex("FEFFDDE000000000")
_OPAQUE = {0x00420011: "an encapsulated document", 0x56000020: "spectroscopy data"}


@dataclass(frozen=True, slots=True, eq=False)
class CleanPixels:
    """Pixels as they are to be written, and what was done to them.

    Attributes:
        value: For the writer; None for an object without pixels.
        work: What was looked at and masked.
        complete: Every frame was looked at, at full size.
    """

    value: PixelValue | None = field(repr=False)
    work: MaskedFrames = field(repr=False)
    complete: bool = False

    def describe(self, target: Dataset) -> None:
        """Make the attributes of the data set tell the truth about the pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class CleanRaster:
    """A JPEG or PNG as it is given back."""

    data: bytes = field(repr=False)
    media_type: MediaType
    work: MaskedFrames = field(repr=False)


class ObjectCleaner:
    """Cleans the pixels of whole objects by one policy."""

    def __init__(self, policy: PixelPolicy) -> None:
        self._policy = policy
        self._masker = PixelMasker(policy)

    def pixels(self, found: IdentifiableObject) -> CleanPixels:
        """Of a DICOM object.

        Raises:
            NotSanitizable: It holds what cannot be looked into, or text that cannot be masked.
            Unreadable: A frame cannot be decoded.
        """
        for tag, what in _OPAQUE.items():
            if found.dataset is not None and tag in found.dataset:
                raise NotSanitizable(
                    f"The object holds {what} ({tag >> 16:04X},{tag & 0xFFFF:04X}), which cannot be looked into"
                )
        stored = found.pixels
        if stored is None:
            return CleanPixels(None, MaskedFrames(()))
        done = self._look(found, stored) if self._policy.look else MaskedFrames(())
        if done.regions:
            raise NotSanitizable("The pixels hold text, and masking it in stored values is not possible for this object")
        source = stored.source
        # The writer ends encapsulated pixels itself.
        data = source.value[: -len(_DELIMITER)] if source.syntax.encapsulated else source.value
        value = PixelValue((data,), source.vr, source.syntax.encapsulated, stored.element.tag)
        return CleanPixels(value, done, complete=self._policy.look)

    def _look(self, found: IdentifiableObject, stored: StoredPixels) -> MaskedFrames:
        return self._masker.mask(
            IdentifiableImage(
                media_type=found.media_type,
                dataset=None,
                frame_numbers=tuple(range(1, found.total_frames + 1)),
                total_frames=found.total_frames,
                modality=found.modality,
                render=lambda number: _show(stored, number),
            )
        )

    def raster(self, raster: RasterPixels) -> CleanRaster:
        """Of a JPEG or PNG."""
        picture = raster.decode()
        done = self._masker.mask(
            IdentifiableImage(
                media_type=raster.media_type,
                dataset=None,
                frame_numbers=(1,),
                total_frames=1,
                modality=None,
                render=lambda _: picture,
            )
        )
        out = BytesIO()
        Image.fromarray(done.frames[0]).save(out, "PNG")
        return CleanRaster(out.getvalue(), MediaType.PNG, done)


def _show(stored: StoredPixels, number: int) -> DisplayFrame:
    return stored.show(number, *stored.decode(number))
