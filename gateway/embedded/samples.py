"""Synthetic sample files, full of identifying values of a person who does not exist.

For ``cordon up`` and ``cordon demo``, and for tests: everything that is put in is listed, so that a look for it in
every output can show that none came through.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from gateway.embedded.phantom import burn_in, head

if TYPE_CHECKING:
    from pathlib import Path

NAME = "EXAMPLE^MARIA^Q"
PATIENT_ID = "MRN-4471902"
BIRTH_DATE = "19610317"
STUDY_DATE = "20240229"
ACCESSION = "ACC-88213-07"
PHYSICIAN = "SAMPLEDOC^HUGO"
INSTITUTION = "St Nowhere General"
ADDRESS = "12 Imaginary Lane Testville"
PHONE = "+1-555-0142"
SERIAL = "SN-0099-TT-41"
NOTE = "Maria called on Tuesday"
_BURNED = [("EXAMPLE MARIA", 22), (f"ID {PATIENT_ID}", 17), ("DOB 17.03.1961", 13)]


@dataclass(frozen=True, slots=True)
class Sample:
    """One file.

    Attributes:
        name: File name.
        media_type: What it is.
        what: What is in it, in a few words.
        data: Its bytes.
        identifiers: Every identifying text in its metadata.
        burned_in: Every text in its pixels.
    """

    name: str
    media_type: str
    what: str
    data: bytes = field(repr=False)
    identifiers: tuple[str, ...] = ()
    burned_in: tuple[str, ...] = tuple(text for text, _ in _BURNED)


def all_samples() -> tuple[Sample, ...]:
    """An MR DICOM with one frame, one with several, a JPEG and a PNG. The same bytes each time."""
    return (single_frame(), multi_frame(), jpeg(), png())


def write_samples(folder: Path) -> tuple[Sample, ...]:
    """Write all of them into a folder that exists."""
    samples = all_samples()
    for sample in samples:
        (folder / sample.name).write_bytes(sample.data)
    return samples


def single_frame(size: int = 384) -> Sample:
    """MR Image Storage, Explicit VR Little Endian, 12 bits, with a window and a private block."""
    dataset = _header(MRImageStorage, "single")
    _pixels(dataset, [burn_in(head(size), _BURNED)])
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.RescaleIntercept, dataset.RescaleSlope = 0, 1
    return _dicom("mr-single-frame.dcm", "MR slice; name in header, private tags and pixels", dataset)


def multi_frame(frames: int = 5, size: int = 256) -> Sample:
    """Enhanced MR Image Storage: several slices, their windows in the functional groups (PS3.3 C.7.6.16)."""
    dataset = _header(EnhancedMRImageStorage, "multi")
    levels = [index / (2 * frames) for index in range(frames)]
    _pixels(dataset, [burn_in(head(size, level=level), _BURNED) for level in levels])
    dataset.NumberOfFrames = frames
    dataset.ContentDate, dataset.ContentTime = STUDY_DATE, "101112"
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([_item(PixelSpacing=[0.9, 0.9], SliceThickness="5")])
    shared.PlaneOrientationSequence = Sequence([_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])
    shared.FrameVOILUTSequence = Sequence([_item(WindowCenter="2048", WindowWidth="4096")])
    shared.PixelValueTransformationSequence = Sequence(
        [_item(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")]
    )
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for index in range(frames):
        group = Dataset()
        group.FrameContentSequence = Sequence([_item(FrameAcquisitionDateTime=f"{STUDY_DATE}1011{index:02d}")])
        group.PlanePositionSequence = Sequence([_item(ImagePositionPatient=[-115, -115, 5 * index])])
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return _dicom("mr-multi-frame.dcm", f"MR, {frames} slices; name in header and in each slice", dataset)


def jpeg(size: int = 384) -> Sample:
    """Baseline JPEG with EXIF (and a position in it), XMP and a comment."""
    image = _raster(size)
    exif = Image.Exif()
    exif[0x010E] = f"{NAME} {PATIENT_ID}"  # ImageDescription
    exif[0x013B] = PHYSICIAN  # Artist
    exif[0x0132] = "2024:02:29 10:11:12"  # DateTime
    position = exif.get_ifd(0x8825)  # GPSInfo
    position[1], position[2] = "N", (48.0, 51.0, 29.6)
    position[3], position[4] = "E", (2.0, 17.0, 40.2)
    output = io.BytesIO()
    image.save(output, "JPEG", quality=92, exif=exif, xmp=_xmp(), comment=f"{NOTE}; {PHONE}".encode())
    identifiers = (NAME, PATIENT_ID, PHYSICIAN, INSTITUTION, NOTE, PHONE)
    return Sample(
        "mr-export.jpg", "image/jpeg", "Export; name in EXIF, XMP, comment and pixels", output.getvalue(), identifiers
    )


def png(size: int = 384) -> Sample:
    """Greyscale PNG with tEXt, zTXt, iTXt (XMP) and eXIf chunks."""
    text = PngInfo()
    text.add_text("Title", f"{NAME} {PATIENT_ID}")
    text.add_text("Comment", f"{NOTE}; {PHONE}", zip=True)
    text.add_itxt("XML:com.adobe.xmp", _xmp().decode())
    exif = Image.Exif()
    exif[0x013B] = PHYSICIAN  # Artist
    output = io.BytesIO()
    _raster(size).save(output, "PNG", pnginfo=text, exif=exif)
    identifiers = (NAME, PATIENT_ID, PHYSICIAN, INSTITUTION, NOTE, PHONE)
    return Sample(
        "mr-screenshot.png", "image/png", "Screenshot; name in text chunks and pixels", output.getvalue(), identifiers
    )


def _raster(size: int) -> Image.Image:
    return Image.fromarray((burn_in(head(size, level=0.2), _BURNED) * 255).round().astype(np.uint8))


def _xmp() -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:creator>{PHYSICIAN}</dc:creator><dc:publisher>{INSTITUTION}</dc:publisher>"
        f"<dc:title>{NAME} {PATIENT_ID}</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def _header(sop_class: str, kind: str) -> Dataset:
    """The identifying part: what a scanner, a registration desk and a technician write into an object."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = _uid(kind, "instance")
    dataset.StudyInstanceUID = _uid(kind, "study")
    dataset.SeriesInstanceUID = _uid(kind, "series")
    dataset.FrameOfReferenceUID = _uid(kind, "frame of reference")
    dataset.Modality = "MR"
    dataset.PatientName = NAME
    dataset.PatientID = PATIENT_ID
    dataset.PatientBirthDate = BIRTH_DATE
    dataset.PatientSex = "F"
    dataset.PatientAge = "062Y"
    dataset.PatientAddress = ADDRESS
    dataset.PatientTelephoneNumbers = PHONE
    dataset.PatientComments = NOTE
    dataset.OtherPatientIDsSequence = Sequence([_item(PatientID=PATIENT_ID, TypeOfPatientID="TEXT")])
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = STUDY_DATE
    dataset.StudyTime = dataset.SeriesTime = "101112"
    dataset.StudyID = "S-1"
    dataset.AccessionNumber = ACCESSION
    dataset.ReferringPhysicianName = PHYSICIAN
    dataset.OperatorsName = PHYSICIAN
    dataset.InstitutionName = INSTITUTION
    dataset.InstitutionAddress = ADDRESS
    dataset.Manufacturer = "Cordon samples"
    dataset.DeviceSerialNumber = SERIAL
    dataset.StudyDescription = f"Head MR of {NAME}"
    dataset.SeriesDescription = "t1 axial"
    dataset.RequestAttributesSequence = Sequence(
        [_item(RequestedProcedureDescription=NOTE, ScheduledProcedureStepID=ACCESSION)]
    )
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.BurnedInAnnotation = "YES"
    private = dataset.private_block(0x0029, "CORDON SAMPLE 1.0", create=True)
    private.add_new(0x10, "LO", f"{NAME} {PATIENT_ID}")
    private.add_new(0x11, "UN", f"{NAME}|{BIRTH_DATE}".encode())
    return dataset


def _pixels(dataset: Dataset, frames: list[np.ndarray]) -> None:
    stack = (np.stack(frames) * 4095).round().astype("<u2")
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stack.shape[1:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = stack.tobytes()


def _dicom(name: str, what: str, dataset: Dataset) -> Sample:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.SourceApplicationEntityTitle = "NOWHERE_MR1"
    output = io.BytesIO()
    dcmwrite(output, dataset, enforce_file_format=True)
    identifiers = (
        NAME, PATIENT_ID, BIRTH_DATE, STUDY_DATE, ACCESSION, PHYSICIAN, INSTITUTION, ADDRESS, PHONE, SERIAL, NOTE,
        dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID, "NOWHERE_MR1",
    )  # fmt: skip
    return Sample(name, "application/dicom", what, output.getvalue(), tuple(str(each) for each in identifiers))


def _uid(*parts: str) -> str:
    return generate_uid(entropy_srcs=["cordon sample", *parts])


def _item(**elements: object) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item
