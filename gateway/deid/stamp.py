"""Step 3 of 7: what PS3.15 E.1.1 asks a de-identified object to say of itself, and clean file meta."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom._uid_dict import UID_dictionary
from pydicom.charset import default_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence

from gateway.deid.values import texts
from gateway.errors import NotSanitizable
from gateway.ingest.vr import TAGS, bare_dataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydicom.dataset import Dataset

    from gateway.deid.uids import StandIns
    from gateway.ingest.vr import Elements

IMPLEMENTATION_CLASS_UID = "2.25.152903367871233421764531189060451204811"  # drawn once at random (PS3.5 B.2)
IMPLEMENTATION_VERSION = "CORDON_0_1"

_PATIENT_IDENTITY_REMOVED = 0x00120062
_METHOD = 0x00120063
_METHOD_CODES = 0x00120064
_TEMPORAL_INFORMATION_MODIFIED = 0x00280303
_BURNED_IN_ANNOTATION = 0x00280301
_RECOGNIZABLE_VISUAL_FEATURES = 0x00280302
_CODE_VALUE, _SCHEME, _MEANING = 0x00080100, 0x00080102, 0x00080104
_CLEAN_VISUAL_FEATURES = "113102"


def stamp(
    target: Dataset,
    policy: str,
    methods: Iterable[str],
    meanings: Mapping[str, str],
    *,
    temporal: str,
    pixels_clean: bool,
    burned_in_required: bool,
) -> None:
    """Write the record into a de-identified dataset.

    Args:
        target: Changed in place.
        policy: The policy's name, for (0012,0063).
        methods: CID 7050 codes of what was applied, for (0012,0064).
        meanings: Their Code Meanings.
        temporal: ``REMOVED``, ``UNMODIFIED`` or ``MODIFIED``: what became of dates, for (0028,0303).
        pixels_clean: Every frame was looked at and masked: (0028,0301) may say NO.
        burned_in_required: The IOD asks for (0028,0301): without a look at every frame it says YES.
    """
    methods = tuple(methods)
    elements: Elements = target._dict  # type: ignore[assignment] # noqa: SLF001 - setting items by name costs ten times as much
    encoding = (bool(target.original_encoding[0]), target.original_encoding[1] is not False)
    codes = []
    for code in methods:
        values = ((_CODE_VALUE, "SH", code), (_SCHEME, "SH", "DCM"), (_MEANING, "LO", meanings[code]))
        item: Elements = {TAGS[tag]: _text(tag, vr, value, encoding) for tag, vr, value in values}
        codes.append(bare_dataset(item, encoding, default_encoding, default_encoding))
    written = {
        _PATIENT_IDENTITY_REMOVED: ("CS", "YES"),
        _METHOD: ("LO", f"DICOM PS3.15 2026d Annex E\\Cordon policy {policy}"),
        _TEMPORAL_INFORMATION_MODIFIED: ("CS", temporal),
    }
    if _CLEAN_VISUAL_FEATURES in methods:
        written[_RECOGNIZABLE_VISUAL_FEATURES] = ("CS", "NO")
    if pixels_clean:
        written[_BURNED_IN_ANNOTATION] = ("CS", "NO")
    elif burned_in_required and TAGS[_BURNED_IN_ANNOTATION] in elements:
        written[_BURNED_IN_ANNOTATION] = ("CS", "YES")
    else:
        elements.pop(TAGS[_BURNED_IN_ANNOTATION], None)  # the sender's word on it is not proof
    for tag, (vr, value) in written.items():
        elements[TAGS[tag]] = _text(tag, vr, value, encoding)
    elements[TAGS[_METHOD_CODES]] = DataElement(TAGS[_METHOD_CODES], "SQ", Sequence(codes))


def _text(tag: int, vr: str, value: str, encoding: tuple[bool, bool]) -> RawDataElement:
    content = _even(value, b" ")
    return RawDataElement(TAGS[tag], vr, len(content), content, 0, *encoding)


def _even(value: str, pad: bytes) -> bytes:
    content = value.encode("ascii", "replace")
    return content + pad * (len(content) % 2)


def file_meta(source: Dataset | None, target: Dataset, stand_ins: StandIns) -> FileMetaDataset:
    """New File Meta Information (PS3.10 7.1); of the old one only the transfer syntax stays.

    Raises:
        NotSanitizable: The object names several SOP classes or SOP instances as its own.
    """
    written = {0x00020001: ("OB", b"\0\1")}
    for tag, of in ((0x00020002, 0x00080016), (0x00020003, 0x00080018)):
        if of in target and (values := texts(target.get_item(of))) and values[0]:
            if len(values) > 1:  # the object would be one thing in its header and another in its data set
                raise NotSanitizable(f"({of >> 16:04X},{of & 0xFFFF:04X}) has more than one value")
            written[tag] = ("UI", _even(values[0], b"\0"))
    syntax = source.get_item(0x00020010) if source is not None and 0x00020010 in source else None
    if syntax is not None and (values := texts(syntax)):
        uid = stand_ins.uid(values[0])
        if uid in UID_dictionary:
            written[0x00020010] = ("UI", _even(uid, b"\0"))
    written[0x00020012] = ("UI", _even(IMPLEMENTATION_CLASS_UID, b"\0"))
    written[0x00020013] = ("SH", _even(IMPLEMENTATION_VERSION, b" "))
    meta = FileMetaDataset()
    elements: Elements = meta._dict  # type: ignore[assignment] # noqa: SLF001 - as above
    for tag, (vr, value) in written.items():
        elements[TAGS[tag]] = RawDataElement(TAGS[tag], vr, len(value), value, 0, False, True)
    return meta
