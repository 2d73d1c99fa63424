"""Step 3 of 7: the header of one object under one policy: identified, walked, stamped and searched again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pydicom._dicom_dict import DicomDictionary

from gateway.deid.content import ContentItems
from gateway.deid.free_text import FreeText
from gateway.deid.header import HeaderWalk, Places
from gateway.deid.identifiers import Identifiers
from gateway.deid.image import Pseudonyms
from gateway.deid.instance import Instance
from gateway.deid.options import FULL_DATES, MODIFIED_DATES, RETAIN_UIDS, SAFE_PRIVATE, temporal_information
from gateway.deid.private import SafePrivate
from gateway.deid.residue import survivors
from gateway.deid.rulebook import OVERLAY, OVERLAY_DATA, Rulebook
from gateway.deid.stamp import file_meta, stamp
from gateway.deid.uids import StandIns
from gateway.deid.values import texts
from gateway.errors import NotSanitizable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydicom.dataset import Dataset

    from gateway.deid.overlays import OverlayCleaner
    from gateway.deid.policy import DeidPolicy
    from gateway.deid.tables import Tables
    from gateway.ingest.vr import Elements

_VOICES = frozenset({"basic-voice-audio-waveform", "general-audio-waveform"})
_OVERLAYS, _OVERLAY_DATA = 0x60, 0x3000
_BURNED_IN = 0x00280301
_PATIENT_ID, _ISSUER = 0x00100020, 0x00100021
_BIRTH_DATE = 0x00100030
_DATED = frozenset({FULL_DATES, MODIFIED_DATES})
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = 0x0020000D, 0x0020000E, 0x00080018


class CleanHeader(NamedTuple):
    """A de-identified header and what was done to it.

    Attributes:
        dataset: Stamped, with file meta; the pixels are not in it.
        pseudonyms: Stand-ins of the identifiers that link objects.
        actions: Action name to how many elements.
        groups: Tag group in hex to how many elements it lost or had changed.
        found: Kind of identifier to how many were taken out of free text.
        second_look: To be called with the header's bytes as they were written, or with None. Raises NotSanitizable if
            an identifier is still to be found in them.
    """

    dataset: Dataset
    pseudonyms: Pseudonyms
    actions: Mapping[str, int]
    groups: Mapping[str, int]
    found: Mapping[str, int]
    second_look: Callable[[bytes | None], None]


class HeaderProfile:
    """The Confidentiality Profile of a policy. Made once; holds nothing of any instance."""

    def __init__(self, policy: DeidPolicy, tables: Tables, key: bytes) -> None:
        self.rulebook = Rulebook(tables, policy)
        self._policy = policy
        self._tables = tables
        self._key = key
        self._places = Places(self.rulebook)
        self._content = ContentItems.of(tables.content, policy.options, policy.age_cap)
        self._private = SafePrivate(tables, policy) if SAFE_PRIVATE in policy.options else None
        self._text = FreeText()

    def clean(
        self, source: Dataset, tenant: str, *, pixels_clean: bool, overlays: OverlayCleaner | None = None
    ) -> CleanHeader:
        """The de-identified copy of a data set, which nobody has looked at a second time.

        Args:
            source: Not changed.
            tenant: Whose it is.
            pixels_clean: Every frame was looked at and masked.
            overlays: Looks at the overlay planes that the policy keeps; without it they go.

        Raises:
            NotSanitizable: The object is a recording of a voice, or the text detector failed.
        """
        stand_ins = StandIns.of(self._key, tenant)
        known = Identifiers.of(source, self._tables)
        patient_id, issuer = _text(source, _PATIENT_ID), _text(source, _ISSUER)
        if self._policy.issuer == "ignored":
            issuer = ""
        patient = stand_ins.patient(patient_id, issuer)
        instance = Instance(stand_ins, self._text, known, patient)
        if (dates := self._policy.dates) is not None:
            # Who has no number has a study: within it, intervals stay.
            whose = (patient_id, issuer) if patient else (_text(source, _STUDY_UID), "study")
            instance.days = stand_ins.days(*whose, dates.least_days, dates.most_days)
        walk = HeaderWalk(self._places, self._content, self._private, instance)
        target = walk.clean(source, self._tables.types.iods)
        if walk.iod in _VOICES:
            raise NotSanitizable("The object is a recording of sound, which cannot be looked into")
        self._overlays(target, overlays, walk)
        stamp(
            target,
            self._policy.name,
            self._policy.methods,
            self._tables.methods,
            temporal=temporal_information(self._policy.options),
            pixels_clean=pixels_clean,
            burned_in_required=self._tables.types.of(_BURNED_IN, walk.iod, 0) == 1,
        )
        target.file_meta = file_meta(getattr(source, "file_meta", None), target, stand_ins)
        # UIDs that the policy keeps are no stand-ins: they stay in the object, and are repeated nowhere.
        kept = RETAIN_UIDS in self._policy.options
        study, series, instance_uid = (
            None if kept else _text(target, tag) or None for tag in (_STUDY_UID, _SERIES_UID, _INSTANCE_UID)
        )
        named = patient if self._policy.patient == "pseudonym" else None
        pseudonyms = Pseudonyms(named, study, series, instance_uid)
        look = partial(self._look, target, known)
        return CleanHeader(target, pseudonyms, walk.actions, walk.groups, dict(instance.found), look)

    def _overlays(self, target: Dataset, cleaner: OverlayCleaner | None, walk: HeaderWalk) -> None:
        if not self.rulebook.keeps_overlays:
            return
        elements: Elements = target._dict  # type: ignore[assignment] # noqa: SLF001 - a Dataset converts what it hands out
        if cleaner is None:
            gone = [tag for tag in elements if tag >> 24 == _OVERLAYS]
            for tag in gone:
                del elements[tag]
            walk.changes.extend((OVERLAY, tag) for tag in gone)
            return
        for group, regions in cleaner.clean(elements):
            if regions != 0:
                walk.changes.append((OVERLAY if regions is None else OVERLAY_DATA, group << 16 | _OVERLAY_DATA))

    def _look(self, target: Dataset, known: Identifiers, written: bytes | None) -> None:
        left = survivors(target, known, self._tables, written)
        if _DATED & set(self._policy.options):
            # A date that stays or is shifted may be the day of birth, as a newborn's study date is.
            left = [tag for tag in left if tag == _BIRTH_DATE or _vr(tag) not in {"DA", "DT"}]
        if left:
            raise NotSanitizable(f"An identifier of the header is still found in {_tags(left)} after de-identification")


def _vr(tag: int) -> str:
    return str(DicomDictionary[tag][0]) if tag in DicomDictionary else ""


def _text(dataset: Dataset, tag: int) -> str:
    if tag not in dataset:
        return ""
    return "\\".join(texts(dataset.get_item(tag)))


def _tags(tags: Iterable[int]) -> str:
    return ", ".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in sorted(set(tags))[:8])
