"""Step 2 of 7: JPEG and PNG. The size is believed only after the limits have seen it; no metadata outlives decoding."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from gateway.errors import ImageTooLarge, Unreadable
from gateway.ingest.guard import fence
from gateway.ingest.image import IdentifiableImage, StoredSize
from gateway.ingest.object import IdentifiableObject
from gateway.ingest.segments import metadata_segments
from gateway.ingest.upload import MediaType

if TYPE_CHECKING:
    from gateway.ingest.frames import FrameSelection
    from gateway.ingest.image import DisplayFrame
    from gateway.settings import IngestSettings

DRAFT_LONG_SIDE = 1024
"""Pixels. A larger JPEG is decoded at a half, a quarter or an eighth of its size, in the DCT, but to no less than this,
where nothing else is asked for: the text detector looks at 640, the models at less."""

_ORIENTATION = 0x0112
Picture: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_FORMATS = {MediaType.JPEG: "JPEG", MediaType.PNG: "PNG"}


@dataclass(frozen=True, slots=True, eq=False)
class RasterPixels:
    """The picture of a JPEG or PNG.

    Attributes:
        data: The file.
        media_type: What it is.
        segments: Kind of metadata segment to how many there are.
        limits: Its size has been held against them.
    """

    data: bytes = field(repr=False)
    media_type: MediaType
    segments: dict[str, int]
    limits: IngestSettings = field(repr=False)

    def stored(self) -> tuple[Picture, bool]:
        """The picture at full size, upright; and whether EXIF says that it lies turned in the file. Raises Unreadable.

        uint8 or uint16 [height, width], or uint8 [height, width, 3]; what is transparent is black. An alpha channel and
        colour profiles do not outlive it.
        """
        with fence("The image cannot be decoded"):
            image = _open(self.data, self.media_type, self.limits)
            image.load()
            turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
            upright = ImageOps.exif_transpose(image)
            transparent = image.info.get("transparency")
            if image.mode.startswith("I") and transparent is None:
                return np.clip(np.asarray(upright), 0, 2**16 - 1).astype(np.uint16), turned
            return _display(upright, transparent), turned


def read_raster_object(data: bytes, media_type: MediaType, limits: IngestSettings) -> IdentifiableObject:
    """A JPEG or PNG whole; the first picture of several.

    Raises:
        ImageTooLarge: More pixels than are taken.
        Unreadable: It has no header that can be read.
    """
    segments = metadata_segments(data, media_type)
    with fence("The image's header cannot be read"):
        _open(data, media_type, limits)
    return IdentifiableObject(media_type, None, None, RasterPixels(data, media_type, segments, limits), 1, None)


def read_raster(
    data: bytes, media_type: MediaType, frames: FrameSelection, limits: IngestSettings, least: int | None = None
) -> IdentifiableImage:
    """Read the header of a JPEG or PNG and check its size.

    Of an animated PNG and of a multi-picture JPEG the first picture is taken: there is one frame.

    Args:
        data: The file.
        media_type: What it is.
        frames: Which frames are wanted.
        limits: Bounds on one file.
        least: Pixels that a JPEG's picture must keep in height and in width, where the file has them; by itself,
            ``DRAFT_LONG_SIDE`` along its longer side.

    Raises:
        ImageTooLarge: More pixels than are taken.
        Unreadable: It has no header that can be read.
        InvalidParameter: Another frame than the first is asked for.
    """
    numbers = frames.resolve(1, limits.max_frames)
    segments = metadata_segments(data, media_type)
    with fence("The image's header cannot be read"):
        header = _open(data, media_type, limits)
        stored = _stored_size(header, segments)
        size = (least, least) if least is not None else _by_longer_side(header)
    return IdentifiableImage(
        media_type=media_type,
        dataset=None,
        frame_numbers=numbers,
        total_frames=1,
        modality=None,
        body_part=None,
        render=partial(_render, _Once(header), data, media_type, limits, size),
        stored=stored,
        segments=segments,
    )


def _open(data: bytes, media_type: MediaType, limits: IngestSettings) -> Image.Image:
    """The header only; Pillow decodes late."""
    most = min(limits.max_frame_pixels, limits.max_total_pixels)
    try:
        image = Image.open(BytesIO(data), formats=(_FORMATS[media_type],))
    except Image.DecompressionBombError:  # Pillow's own limit, which also holds for a frame hidden in metadata
        raise ImageTooLarge("The image has more pixels than are taken") from None
    if image.width * image.height > most:
        raise ImageTooLarge(f"The image has more than {most} pixels", limit=most)
    return image


def _stored_size(image: Image.Image, segments: dict[str, int]) -> StoredSize:
    """From the header. A PNG may say behind its pixels how it lies: without any metadata it is not decoded for that."""
    turned = image.getexif().get(_ORIENTATION, 1) if segments else 1
    orientation = turned if isinstance(turned, int) and 1 <= turned <= 8 else 1
    return StoredSize(image.height, image.width, orientation)


def _by_longer_side(header: Image.Image) -> tuple[int, int]:
    scale = DRAFT_LONG_SIDE / max(header.size)
    return max(1, round(header.width * scale)), max(1, round(header.height * scale))


class _Once:
    """A header that was read, for whoever renders first: reading it is a third of what a small JPEG costs."""

    def __init__(self, header: Image.Image) -> None:
        self._header: Image.Image | None = header

    def take(self) -> Image.Image | None:
        header, self._header = self._header, None
        return header


def _render(  # noqa: PLR0917 - bound beforehand, but for the last
    header: _Once, data: bytes, media_type: MediaType, limits: IngestSettings, size: tuple[int, int], number: int
) -> DisplayFrame:
    del number  # there is one
    with fence("The image cannot be decoded"):
        image = header.take() or _open(data, media_type, limits)
        if media_type is MediaType.JPEG:
            image.draft(None, size)
        image.load()
        # Known only now: a PNG may say behind its pixels how it lies. Pillow would copy what need not be turned.
        turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
        return _display(ImageOps.exif_transpose(image) if turned else image, image.info.get("transparency"))


def _display(image: Image.Image, transparency: Any) -> DisplayFrame:
    """Grey or RGB, 8 bits; what is transparent shows black."""
    match image.mode:
        case "1" | "L" if transparency is None:
            return np.asarray(image.convert("L"))
        case "I;16" | "I;16L" | "I;16B" | "I":
            return _sixteen_bits(np.asarray(image), transparency)
        case "RGB" if transparency is None:
            return np.asarray(image)
        case "LA" | "RGBA" | "PA" | "P" | "1" | "L" | "RGB":
            grey = image.mode in ("LA", "1", "L")
            clear = image.convert("RGBA")
            opaque = Image.alpha_composite(Image.new("RGBA", clear.size, (0, 0, 0, 255)), clear)
            return np.asarray(opaque.convert("L" if grey else "RGB"))
        case "CMYK" | "YCbCr":
            return np.asarray(image.convert("RGB"))
    raise Unreadable("The image has a colour mode that is not supported")


def _sixteen_bits(values: np.ndarray[Any, Any], transparency: Any) -> DisplayFrame:
    """Scaled linearly, 65535 to 255 (W3C PNG, §13.12); Pillow would clip at 255."""
    tones = np.rint(np.arange(2**16) * (255 / 65535)).astype(np.uint8)
    if isinstance(transparency, int) and 0 <= transparency < 2**16:
        tones[transparency] = 0
    shown: DisplayFrame = tones[np.clip(values, 0, 2**16 - 1).astype(np.uint16)]
    return shown
