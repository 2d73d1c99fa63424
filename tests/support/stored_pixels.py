"""DICOM objects with a line of print in their stored values, in every form that pixels come in, made by hand."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID, SecondaryCaptureImageStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, DEFLATED_FRAME, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.5"
JPEG, JPEG_12, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.70"
JPEG_LS, NEAR = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
JPEG_2000, JPEG_2000_LOSSY = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"

SIZE = (192, 256)
LINE = "DOE^JOHN 4711"
BOX = (40, 60, 188, 81)
"""Left, top, right, bottom of the line: print 15 pixels tall, with some room around it."""


@dataclass(frozen=True)
class Form:
    """One form of pixels.

    Attributes:
        name: For the test's name.
        black: The stored value or values that a mask must have.
        photometric, bits, allocated, signed, planar, keyword: As the header says.
        syntax: Transfer syntax of the file.
        becomes: Transfer syntax of the masked file.
        after: Photometric Interpretation of the masked file; None if it stays.
        more: Further attributes.
    """

    name: str
    black: Any
    photometric: str = "MONOCHROME2"
    bits: int = 8
    allocated: int = 8
    signed: bool = False
    planar: int = 0
    keyword: str = "PixelData"
    syntax: str = EXPLICIT
    becomes: str = EXPLICIT
    after: str | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return 3 if self.photometric[:3] in ("RGB", "YBR") else 1


def picture(
    *, dark: bool = False, vertical: bool = False, at: tuple[int, int] = BOX[:2], line: str = LINE
) -> np.ndarray:
    """Tones 0 to 255: a soft ground with light print, or the reverse."""
    rng = np.random.default_rng(7)
    ground = cv2.GaussianBlur(rng.normal(0, 1, SIZE), (0, 0), 12)
    tones = 60 + ground / ground.std() * 8
    ink = np.zeros(SIZE[::-1] if vertical else SIZE, np.uint8)
    cv2.putText(ink, line, (at[0] + 3, at[1] + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.62, 255, 2, cv2.LINE_AA)
    if vertical:
        ink = np.ascontiguousarray(np.rot90(ink))
    shown = np.clip(tones + ink / 255 * 170, 0, 255)
    return np.asarray(np.rint(255 - shown if dark else shown), dtype=np.uint8)


def ink(**where: Any) -> np.ndarray:
    """Where the line of that picture stands."""
    return picture(**where) != picture(**(where | {"line": ""}))


def stored(form: Form, tones: np.ndarray) -> np.ndarray:
    """What a scanner would store for these tones: [rows, columns] or [rows, columns, 3]."""
    if form.keyword != "PixelData":
        return (tones / 255).astype(f"f{form.allocated // 8}")
    if form.photometric == "RGB":
        return _wide(form, np.dstack([tones, tones // 2 + 20, tones // 3]))
    if form.photometric.startswith("YBR"):
        return _wide(form, np.dstack([tones, np.full(SIZE, 100), np.full(SIZE, 150)]))
    if form.bits == 1:
        return (tones > 140).astype(np.uint8)
    if form.photometric in ("MONOCHROME1", "PALETTE COLOR"):
        tones = 255 - tones
    return _wide(form, tones)


def _wide(form: Form, tones: np.ndarray) -> np.ndarray:
    values = tones.astype(np.int64) << max(form.bits - 8, 0) >> max(8 - form.bits, 0)
    values -= (1 << (form.bits - 1)) if form.signed else 0
    return values.astype(f"{'i' if form.signed else 'u'}{max(form.allocated, 8) // 8}")


def file(form: Form, frames: Sequence[np.ndarray], **attributes: Any) -> bytes:
    """A file of these stored frames."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3.4.5"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.1"
    ds.Modality, ds.ImageType, ds.PatientID = "OT", ["ORIGINAL", "PRIMARY"], "MRN-778812"
    ds.Rows, ds.Columns = frames[0].shape[:2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = form.samples, form.photometric
    ds.BitsAllocated = form.allocated
    if form.keyword == "PixelData":
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = form.bits, form.bits - 1, int(form.signed)
        ds.SmallestImagePixelValue = ds.LargestImagePixelValue = 7
    if form.samples == 3:
        ds.PlanarConfiguration = form.planar
    if len(frames) > 1 or form.bits == 1:
        ds.NumberOfFrames = len(frames)
    if form.photometric == "PALETTE COLOR":
        for colour in ("Red", "Green", "Blue"):
            setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
            table = (np.arange(256, dtype="<u2")[::-1] * 257).tobytes()
            setattr(ds, f"{colour}PaletteColorLookupTableData", table)
    for name, value in (form.more | attributes).items():
        setattr(ds, name, value)
    encoder = _ENCODERS.get(form.syntax)
    if encoder is None:
        setattr(ds, form.keyword, _native(form, frames))
    else:
        ds.PixelData = encapsulate([encoder(form, frame) for frame in frames])
    if form.keyword == "PixelData":
        ds["PixelData"].VR = "OB" if encoder is not None or form.allocated <= 8 else "OW"
    ds.file_meta = FileMetaDataset()
    # pydicom does not know the deflated frames' transfer syntax, and writes none that it does not know.
    known = JPEG if form.syntax == DEFLATED_FRAME else form.syntax
    ds.file_meta.TransferSyntaxUID = UID(known)
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue().replace(known.encode(), form.syntax.encode().ljust(len(known), b"\0"), 1)


def _native(form: Form, frames: Sequence[np.ndarray]) -> bytes:
    if form.bits == 1:
        data = np.packbits(np.concatenate([frame.reshape(-1) for frame in frames]), bitorder="little").tobytes()
    elif form.photometric == "YBR_FULL_422":
        pairs = [frame.reshape(-1, 2, 3) for frame in frames]
        data = b"".join(np.stack([p[:, 0, 0], p[:, 1, 0], p[:, 0, 1], p[:, 0, 2]], axis=1).tobytes() for p in pairs)
    else:
        order = ">" if form.syntax == BIG_ENDIAN else "<"
        planes = [frame.transpose(2, 0, 1) if form.planar else frame for frame in frames]
        data = b"".join(plane.astype(plane.dtype.newbyteorder(order)).tobytes() for plane in planes)
    return data + b"\0" * (len(data) % 2)


def compressed(form: Form, frame: np.ndarray, **options: Any) -> bytes:
    """One frame by pydicom's encoder for the form's transfer syntax."""
    encoder: Any = get_encoder(UID(form.syntax))
    encoded: bytes = encoder.encode(
        frame,
        rows=frame.shape[0],
        columns=frame.shape[1],
        number_of_frames=1,
        samples_per_pixel=form.samples,
        bits_allocated=form.allocated,
        bits_stored=form.bits,
        pixel_representation=int(form.signed),
        photometric_interpretation=form.photometric,
        planar_configuration=0,
        pixel_keyword="PixelData",
        **options,
    )
    return encoded


def _jpeg(form: Form, frame: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(frame).save(out, "JPEG", quality=92, comment=b"DOE^JOHN in a comment")
    return out.getvalue()


def _imagecodecs(form: Form, frame: np.ndarray) -> bytes:
    from imagecodecs import jpeg8_encode

    unsigned = frame.view(f"u{frame.dtype.itemsize}") & ((1 << form.bits) - 1)
    raw = "rgb" if form.samples == 3 else None
    lossless = {"lossless": True, "predictor": 1} if form.syntax == JPEG_LOSSLESS else {"level": 92}
    return bytes(jpeg8_encode(unsigned, bitspersample=form.bits, colorspace=raw, outcolorspace=raw, **lossless))


def _deflate(form: Form, frame: np.ndarray) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(_native(form, [frame])) + stream.flush()


_ENCODERS: dict[str, Callable[[Form, np.ndarray], bytes]] = {
    RLE: compressed,
    JPEG_LS: compressed,
    NEAR: lambda form, frame: compressed(form, frame, jls_error=3),
    JPEG_2000: compressed,
    JPEG_2000_LOSSY: lambda form, frame: compressed(form, frame, j2k_cr=[10]),
    JPEG: _jpeg,
    JPEG_12: _imagecodecs,
    JPEG_LOSSLESS: _imagecodecs,
    DEFLATED_FRAME: _deflate,
}
