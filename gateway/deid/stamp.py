"""Step 3 of 7: what PS3.15 E.1.1 asks a de-identified object to say of itself, and clean file meta."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom._uid_dict import UID_dictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from gateway.deid.values import texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.deid.uids import StandIns

IMPLEMENTATION_CLASS_UID = "2.25.152903367871233421764531189060451204811"  # drawn once at random (PS3.5 B.2)
IMPLEMENTATION_VERSION = "CORDON_0_1"

_PATIENT_IDENTITY_REMOVED = 0x00120062
_METHOD = 0x00120063
_METHOD_CODES = 0x00120064
_TEMPORAL_INFORMATION_MODIFIED = 0x00280303
_BURNED_IN_ANNOTATION = 0x00280301
_RECOGNIZABLE_VISUAL_FEATURES = 0x00280302
_CLEAN_VISUAL_FEATURES = "113102"


def stamp(
    target: Dataset,
    policy: str,
    methods: Iterable[str],
    meanings: Mapping[str, str],
    *,
    temporal: str,
    pixels_clean: bool,
) -> None:
    """Write the record into a de-identified dataset.

    Args:
        target: Changed in place.
        policy: The policy's name, for (0012,0063).
        methods: CID 7050 codes of what was applied, for (0012,0064).
        meanings: Their Code Meanings.
        temporal: ``REMOVED``, ``UNMODIFIED`` or ``MODIFIED``: what became of dates, for (0028,0303).
        pixels_clean: Every frame was looked at and masked: (0028,0301) may say NO.
    """
    methods = tuple(methods)
    target[_PATIENT_IDENTITY_REMOVED] = DataElement(_PATIENT_IDENTITY_REMOVED, "CS", "YES")
    target[_METHOD] = DataElement(_METHOD, "LO", ["DICOM PS3.15 2026d Annex E", f"Cordon policy {policy}"])
    codes = []
    for code in methods:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", meanings[code]
        codes.append(item)
    target[_METHOD_CODES] = DataElement(_METHOD_CODES, "SQ", Sequence(codes))
    target[_TEMPORAL_INFORMATION_MODIFIED] = DataElement(_TEMPORAL_INFORMATION_MODIFIED, "CS", temporal)
    if _CLEAN_VISUAL_FEATURES in methods:
        target[_RECOGNIZABLE_VISUAL_FEATURES] = DataElement(_RECOGNIZABLE_VISUAL_FEATURES, "CS", "NO")
    if pixels_clean:
        target[_BURNED_IN_ANNOTATION] = DataElement(_BURNED_IN_ANNOTATION, "CS", "NO")
    elif _BURNED_IN_ANNOTATION in target:
        del target[_BURNED_IN_ANNOTATION]  # the sender's word on it is not proof


def file_meta(source: Dataset | None, target: Dataset, stand_ins: StandIns) -> FileMetaDataset:
    """New File Meta Information (PS3.10 7.1); of the old one only the transfer syntax stays."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    for keyword, tag in (("MediaStorageSOPClassUID", 0x00080016), ("MediaStorageSOPInstanceUID", 0x00080018)):
        if tag in target and (values := texts(target.get_item(tag))) and values[0]:
            setattr(meta, keyword, UID(values[0]))
    syntax = source.get_item(0x00020010) if source is not None and 0x00020010 in source else None
    if syntax is not None and (values := texts(syntax)):
        uid = stand_ins.uid(values[0])
        if uid in UID_dictionary:
            meta.TransferSyntaxUID = UID(uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    return meta
