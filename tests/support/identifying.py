"""What identifies in a DICOM file, read with pydicom alone, and a search for it in bytes. Nothing is the engine's."""

from __future__ import annotations

import re
import warnings
from io import BytesIO
from typing import TYPE_CHECKING

import pydicom
from pydicom.uid import UID_dictionary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

KEYWORDS = {
    "PatientID", "OtherPatientIDs", "IssuerOfPatientID", "AccessionNumber", "StudyID", "AdmissionID", "PatientAddress",
    "PatientTelephoneNumbers", "MedicalRecordLocator", "MilitaryRank", "InstitutionName", "InstitutionAddress",
    "InstitutionalDepartmentName", "StationName", "DeviceSerialNumber", "PlateID", "DetectorID", "CassetteID",
    "GantryID", "RequestedProcedureID", "ScheduledProcedureStepID", "PerformedProcedureStepID",
    "FillerOrderNumberImagingServiceRequest", "PlacerOrderNumberImagingServiceRequest",
    "PatientInstitutionResidence", "ClinicalTrialSubjectID", "ClinicalTrialSponsorName",
    "PerformedLocation", "CurrentPatientLocation",
}  # fmt: skip
HARMLESS = {
    "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "BodyPartExamined", "Modality", "ImageType",
    "CodeMeaning", "CodeValue",
}  # fmt: skip
DATES = {"PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate"}
CODECS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be", "shift_jis", "euc_kr", "iso8859-5", "iso8859-7", "gb18030")
LEAST = 3
_SAID_BY_ALL = {"none", "unknown", "anonymous", "anonymized", "test", "other", "patient", "name", "head", "hand"}


def read(data: bytes) -> Dataset:
    """A file as pydicom reads it, values converted where they can be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(BytesIO(data), force=True)


def elements(dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    """Keyword, VR and text of every element that can be read, at every depth."""
    for tag in dataset.keys():  # noqa: SIM118 - iterating a Dataset converts every element, and one may be broken
        try:
            element = dataset[tag]
            values = element.value if element.VM > 1 else [element.value]
        except Exception:  # noqa: BLE001 - what pydicom cannot read is not compared
            continue
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)
            continue
        for value in values:
            if value is not None and not isinstance(value, bytes):
                yield element.keyword, element.VR, str(value).strip()


def identifiers(dataset: Dataset, *, dates: bool = True) -> set[str]:
    """Names, numbers, places, UIDs and, if asked for, dates that may not be found afterwards.

    A value that also stands in an attribute that says nothing of a person (Manufacturer, ...) is none.
    """
    found, harmless = set(), set()
    for keyword, vr, text in elements(dataset):
        if vr == "PN":
            parts = re.split(r"[\^= ,]+", text)
            found |= {part for part in parts if len(part) >= LEAST or not part.isascii()}
            found.add(text)
        elif keyword in KEYWORDS or (dates and keyword in DATES) or _is_own_uid(keyword, vr, text):
            found.add(text)
        elif keyword in HARMLESS:
            harmless |= {word.casefold() for word in [text, *re.split(r"[\W_]+", text)]}
    harmless |= _SAID_BY_ALL
    return {text for text in found if _is_telling(text) and text.casefold() not in harmless}


def _is_own_uid(keyword: str, vr: str, text: str) -> bool:
    return vr == "UI" and not keyword.endswith("ClassUID") and text not in UID_dictionary


def _is_telling(text: str) -> bool:
    return (len(text) >= LEAST or not text.isascii()) and bool(text.strip("0-. "))


def found_in(data: bytes, texts: set[str]) -> list[str]:
    """Which of the texts stand in the bytes as words of their own, in any of the encodings, in capitals or not."""
    lower = data.lower()
    return sorted(text for text in texts if any(_stands_in(lower, needle) for needle in _encoded(text)))


def _encoded(text: str) -> set[bytes]:
    needles = set()
    for codec in CODECS:
        for form in (text, text.replace("^", " "), text.lower(), text.upper()):
            try:
                needles.add(form.encode(codec).lower())
            except UnicodeEncodeError:
                break
    return {needle for needle in needles if len(needle) >= LEAST}


def _stands_in(data: bytes, needle: bytes) -> bool:
    start = data.find(needle)
    while start >= 0:
        around = data[start - 1 : start], data[start + len(needle) : start + len(needle) + 1]
        if len(needle) > 8 or not any(byte.isalnum() for byte in around):
            return True
        start = data.find(needle, start + 1)
    return False
