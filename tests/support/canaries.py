"""Images in which everything that can hold text holds a marked value. No marked value may ever be seen again."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, PngImagePlugin
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

ROOT = "1.2.826.0.1.3680043.9.7777"
"""Under this every planted UID stands."""

DATE, TIME = "19370211", "031415.92"

MARK = "ZqxjKw"
"""Starts every planted text."""

# Attributes that must hold what the image needs in order to be an image.
_NOT_PLANTED = {"SpecificCharacterSet", "Modality", "SOPClassUID", "TimezoneOffsetFromUTC"}
_DESCRIBES_PIXELS = (0x0028,)
_TEXT_VRS = {"AE": 16, "LO": 64, "LT": 200, "PN": 64, "SH": 16, "ST": 200, "UC": 200, "UR": 200, "UT": 200}


@dataclass(frozen=True)
class Planted:
    """A body, and what must not be found in anything that comes of it."""

    body: bytes
    canaries: tuple[bytes, ...]


def _value(vr: str, tag: int, planted: list[str]) -> object | None:
    text = f"{MARK}{tag:08X}"
    if vr in _TEXT_VRS:
        value = f"{text}^{MARK}Given" if vr == "PN" else text
        planted.append(text)
        return value[: _TEXT_VRS[vr]]
    match vr:
        case "UI":
            uid = f"{ROOT}.{tag}"
            planted.append(uid)
            return uid
        case "DA":
            return DATE
        case "TM":
            return TIME
        case "DT":
            return DATE + TIME
        case "OB" | "UN":
            planted.append(text)
            return text.encode()
    return None


def dicom(*, frames: int = 1, size: int = 64, document: bool = True) -> Planted:
    """An MR instance with a marked value in every non-retired text, UID, date and byte attribute of the dictionary.

    ``document``: an Encapsulated Document among them, for which a whole object is refused.
    """
    planted: list[str] = []
    ds = Dataset()
    inside = Dataset()
    for tag, (vr, _vm, _name, retired, keyword) in sorted(DicomDictionary.items()):
        group = tag >> 16
        if retired or not keyword or keyword in _NOT_PLANTED or group in (0x0000, 0x0002, 0x7FE0, *_DESCRIBES_PIXELS):
            continue
        if keyword == "EncapsulatedDocument" and not document:
            continue
        if (value := _value(vr, tag, planted)) is not None:
            (inside if group in (0x0040, 0x0070, 0x300A) else ds).add(DataElement(tag, vr, value))
    ds.add_new(0x00101002, "SQ", Sequence([inside]))  # Other Patient IDs Sequence
    deeper = Dataset()
    deeper.PatientName = f"{MARK}Deep^Name"
    planted.append(f"{MARK}Deep")
    middle = Dataset()
    middle.RequestAttributesSequence = Sequence([deeper])
    ds.ReferencedStudySequence = Sequence([middle])

    block = ds.private_block(0x0019, f"{MARK} PRIVATE", create=True)
    block.add_new(0x01, "LO", f"{MARK}Private")
    block.add_new(0x02, "UN", f"{MARK}Unknown".encode())
    hidden = Dataset()
    hidden.PatientID = f"{MARK}Hidden"
    block.add_new(0x03, "SQ", Sequence([hidden]))
    ds.add(DataElement(Tag(0x60000010), "US", size))
    ds.add(DataElement(Tag(0x60000011), "US", size))
    ds.add(DataElement(Tag(0x60001500), "LO", f"{MARK}Overlay"))
    planted += [
        f"{MARK} PRIVATE",
        f"{MARK}Private",
        f"{MARK}Unknown",
        f"{MARK}Hidden",
        f"{MARK}Overlay",
        f"{MARK}Given",
    ]

    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.Modality = "MR"
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = f"{ROOT}.1"
    ds.PatientName = f"{MARK}Müller^Jürgen"
    planted.append(f"{MARK}M")
    ds.Rows = ds.Columns = size
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    if frames > 1:
        ds.NumberOfFrames = frames
    ramp = np.linspace(0, 1000, frames * size * size, dtype=np.uint16)
    ds.PixelData = ramp.tobytes()

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = f"{ROOT}.2"
    meta.ImplementationVersionName = f"{MARK}Impl"
    meta.SourceApplicationEntityTitle = f"{MARK}AE"
    meta.PrivateInformationCreatorUID = f"{ROOT}.3"
    meta.PrivateInformation = f"{MARK}Meta".encode()
    planted += [f"{MARK}Impl", f"{MARK}AE", f"{MARK}Meta"]
    ds.file_meta = meta

    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    body = buffer.getvalue() + f"{MARK}Trailing".encode()
    planted += [ROOT, DATE, TIME]
    return Planted(body, _needles(planted))


def jpeg(size: int = 64) -> Planted:
    """EXIF (with a thumbnail's worth of text), XMP, IPTC-like APP13 and a comment."""
    image = Image.fromarray(np.tile(np.linspace(0, 255, size, dtype=np.uint8), (size, 1)))
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x8298] = f"{MARK}ExifDescription", f"{MARK}ExifArtist", f"{MARK}ExifCopyright"
    exif[0x0132] = "1937:02:11 03:14:15"
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><name>{MARK}Xmp</name></x:xmpmeta>'.encode()
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, xmp=xmp, comment=f"{MARK}Comment".encode())
    body = buffer.getvalue()
    app13 = b"Photoshop 3.0\x00" + f"{MARK}Iptc".encode()
    body = body[:2] + b"\xff\xed" + (len(app13) + 2).to_bytes(2, "big") + app13 + body[2:] + f"{MARK}Tail".encode()
    return Planted(body, _needles([MARK, "1937:02:11"]))


def png(size: int = 64) -> Planted:
    """tEXt, zTXt, iTXt and eXIf chunks."""
    image = Image.fromarray(np.tile(np.linspace(0, 255, size, dtype=np.uint8), (size, 1)))
    info = PngImagePlugin.PngInfo()
    info.add_text("Patient", f"{MARK}Text")
    info.add_text("Compressed", f"{MARK}Ztxt", zip=True)
    info.add_itxt("Title", f"{MARK}Itxt", "de", f"{MARK}Titel")
    exif = Image.Exif()
    exif[0x010E] = f"{MARK}ExifDescription"
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info, exif=exif)
    return Planted(buffer.getvalue() + f"{MARK}Tail".encode(), _needles([MARK]))


def _needles(planted: list[str]) -> tuple[bytes, ...]:
    """Each in the encodings in which it could come out again."""
    needles = {MARK.encode(), MARK.lower().encode(), MARK.upper().encode(), MARK.encode("utf-16-le")}
    for text in planted:
        needles.add(text.encode())
        needles.add(text.encode("utf-16-le"))
    return tuple(sorted(needles))


def found(canaries: tuple[bytes, ...], haystack: bytes) -> list[bytes]:
    """Those that occur."""
    return [canary for canary in canaries if canary in haystack]
