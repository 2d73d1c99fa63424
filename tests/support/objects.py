"""Objects to de-identify that name their patient, and answers taken apart."""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME, PATIENT_ID = "Zauberwald^Annegret", "MRN-7714423"
SAID = "Seen with Annegret Zauberwald"
NEEDLES = (b"Zauberwald", b"Annegret", b"7714423", b"19480203", b"20190514")


def _part10(dataset: Dataset) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _named(sop_class: str, modality: str) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[modality, "instance"])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[modality, "series"])
    dataset.Modality = modality
    dataset.PatientName, dataset.PatientID = NAME, PATIENT_ID
    dataset.PatientBirthDate, dataset.PatientSex = "19480203", "F"
    dataset.StudyDate, dataset.StudyTime = "20190514", "101500"
    dataset.AccessionNumber, dataset.StudyID, dataset.ReferringPhysicianName = "A7714423", "7714423", NAME
    dataset.StudyDescription = f"Knee {NAME}"
    return dataset


def mr(size: int = 64, frames: int = 1, *, alike: bool = False) -> bytes:
    """An MR image; one-frame, or more frames than its class allows, which is not looked at.

    ``alike``: all frames are the same, so that a large object costs little to look at.
    """
    dataset = _named(MRImageStorage, "MR")
    dataset.BodyPartExamined = "KNEE"  # a policy may refuse what could show a face
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.Rows = dataset.Columns = size
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    different = 1 if alike else frames
    pixels = np.linspace(0, 900, different * size * size).astype("<u2").tobytes()
    dataset.PixelData = pixels * (frames // different)
    return _part10(dataset)


def report() -> bytes:
    """A structured report: no pixels, the patient named in its text."""
    dataset = _named(BasicTextSRStorage, "SR")
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.ContentDate, dataset.ContentTime = "20190514", "101500"
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    dataset.ConceptNameCodeSequence = [_code("18748-4", "LN", "Diagnostic imaging report")]
    finding = Dataset()
    finding.RelationshipType, finding.ValueType, finding.TextValue = "CONTAINS", "TEXT", SAID
    finding.ConceptNameCodeSequence = [_code("121071", "DCM", "Finding")]
    dataset.ContentSequence = [finding]
    return _part10(dataset)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def raster(form: str, size: int = 96) -> bytes:
    """JPEG or PNG with the name in its EXIF."""
    grey = np.tile(np.linspace(0, 200, size, dtype=np.uint8), (size, 1))
    exif = Image.Exif()
    exif[0x010E] = NAME
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, form, exif=exif)
    return buffer.getvalue()


def read(data: bytes) -> Dataset:
    """A DICOM answer."""
    return pydicom.dcmread(io.BytesIO(data))


def digest_of(content: bytes) -> str:
    """What Content-Digest says of it."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def parts_of(headers: Mapping[str, str], content: bytes) -> tuple[Any, bytes, dict[str, Any]]:
    """A multipart/related answer, read by Python's MIME parser: the root part's headers, its bytes, the report."""
    head = f"MIME-Version: 1.0\r\nContent-Type: {headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + content, policy=email.policy.HTTP)
    assert message.get_content_type() == "multipart/related"
    assert not message.defects
    root, described = message.iter_parts()
    assert described.get_content_type() == "application/json"
    # That parser changes line ends of binary parts; the bytes are found by the boundary and the part's blank line.
    boundary = b"--" + str(message.get_boundary()).encode()
    before, first, second, end = content.split(boundary)
    assert (before, end) == (b"", b"--\r\n")
    data = first.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
    return root, data, json.loads(second.partition(b"\r\n\r\n")[2])
