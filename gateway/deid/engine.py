"""Step 3 of 7: identifiable in, sanitized out. The one place where a SanitizedImage or SanitizedObject is made.

Order: pixels, header, stamp, second look. What cannot be done with certainty refuses the image: nothing leaves half
clean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.deid.header import HeaderWalk
from gateway.deid.image import _SEAL, Pseudonyms, SanitizedImage, SanitizedObject
from gateway.deid.pixels import PixelMasker
from gateway.deid.policy import digest, load_policy
from gateway.deid.report import DeidReport
from gateway.deid.residue import survivors
from gateway.deid.rulebook import Rulebook
from gateway.deid.rules import Pseudonym, Rule
from gateway.deid.stamp import file_meta, stamp
from gateway.deid.tables import Tables, load_tables
from gateway.deid.uids import MIN_KEY_BYTES, StandIns
from gateway.deid.values import texts
from gateway.deid.whole import ObjectCleaner
from gateway.deid.write import write_object
from gateway.errors import NotSanitizable
from gateway.ingest.guard import silence

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pydicom.dataset import Dataset

    from gateway.deid.pixels import MaskedFrames
    from gateway.deid.policy import DeidPolicy
    from gateway.ingest.image import IdentifiableImage
    from gateway.ingest.object import IdentifiableObject

CLEAN_PIXEL_DATA = "113101"

_PATIENT_NAME, _PATIENT_ID, _ISSUER = 0x00100010, 0x00100020, 0x00100021
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = 0x0020000D, 0x0020000E, 0x00080018


class DeidEngine:
    """One policy, its tables and one key. Load it once; it serves every tenant and holds nothing of an image."""

    def __init__(self, policy: DeidPolicy, policy_digest: str, tables: Tables, key: bytes) -> None:
        self.policy = policy
        self.policy_digest = policy_digest
        self._tables = tables
        self._rulebook = Rulebook(tables)
        self._key = key
        self._masker = PixelMasker(policy.pixels)
        self._cleaner = ObjectCleaner(policy.pixels)

    @classmethod
    def load(cls, policy: Path, key: bytes) -> DeidEngine:
        """Read and check the policy and the tables.

        Args:
            policy: A YAML file, see ``policies/deid/``.
            key: The installation's secret, 32 bytes or more.

        Raises:
            ValueError: Names the file and what is wrong in it, or the key that is too short.
        """
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"the de-identification key needs {MIN_KEY_BYTES} bytes or more")
        signed, content = load_policy(policy)
        tables = load_tables()
        return cls(signed, digest(content, tables.digest), tables, key)

    @silence()
    def deidentify(self, image: IdentifiableImage, *, tenant: str) -> SanitizedImage:
        """Make an image that identifies nobody.

        Args:
            image: What ingest decoded; not changed.
            tenant: Whose it is: stand-ins of different tenants cannot be linked.

        Raises:
            NotSanitizable: An identifier survived, more would have to be masked than the policy allows, or the text
                detector failed.
            Unreadable: A frame cannot be decoded.
        """
        pixels = self._masker.mask(image)
        every_frame = self.policy.pixels.look and len(image.frame_numbers) == image.total_frames
        if image.dataset is None:
            actions, groups = _segments(image.segments)
            report = self._report(actions, groups, pixels)
            return _sanitized(image, pixels, None, Pseudonyms(), report)
        target, pseudonyms, walk = self._header(image.dataset, tenant, pixels_clean=every_frame)
        report = self._report(dict(walk.actions), dict(walk.groups), pixels)
        return _sanitized(image, pixels, target, pseudonyms, report)

    @silence()
    def deidentify_object(self, found: IdentifiableObject, *, tenant: str) -> SanitizedObject:
        """Make a whole object, to be given back, that identifies nobody.

        Args:
            found: What ingest read; not changed.
            tenant: Whose it is: stand-ins of different tenants cannot be linked.

        Raises:
            NotSanitizable: An identifier survived, more would have to be masked than the policy allows, the object
                holds what cannot be looked into, or the text detector failed.
            Unreadable: A frame cannot be decoded.
            ImageTooLarge: A length is more than a DICOM file can state.
        """
        if found.raster is not None:
            raster = self._cleaner.raster(found.raster)
            report = self._report(*_segments(found.raster.segments), raster.work)
            return SanitizedObject(raster.data, raster.media_type, None, Pseudonyms(), report, _SEAL)
        assert found.dataset is not None
        pixels = self._cleaner.pixels(found)
        target, pseudonyms, walk = self._header(found.dataset, tenant, pixels_clean=pixels.complete)
        pixels.describe(target)
        data = write_object(target, pixels.value)
        report = self._report(dict(walk.actions), dict(walk.groups), pixels.work)
        return SanitizedObject(data, found.media_type, target, pseudonyms, report, _SEAL)

    @property
    def _methods(self) -> tuple[str, ...]:
        look = self.policy.pixels.look
        return (self.policy.profile, CLEAN_PIXEL_DATA) if look else (self.policy.profile,)

    def _header(self, source: Dataset, tenant: str, *, pixels_clean: bool) -> tuple[Dataset, Pseudonyms, HeaderWalk]:
        """The de-identified, stamped and searched copy of a data set."""
        stand_ins = StandIns.of(self._key, tenant)
        walk = HeaderWalk(self._rulebook, self._tables, stand_ins)
        patient = stand_ins.patient(_text(source, _PATIENT_ID), _text(source, _ISSUER))
        if self.policy.patient == "pseudonym" and patient is not None:
            walk.special = dict[int, Rule].fromkeys((_PATIENT_NAME, _PATIENT_ID), Pseudonym(patient))
        target = walk.clean(source)
        stamp(target, self.policy.name, self._methods, self._tables.methods, pixels_clean=pixels_clean)
        target.file_meta = file_meta(getattr(source, "file_meta", None), target, stand_ins)
        if left := survivors(target, walk.identifiers, self._tables):
            raise NotSanitizable(f"An identifier of the header is still found in {_tags(left)} after de-identification")
        pseudonyms = Pseudonyms(
            patient=patient,
            study=_text(target, _STUDY_UID) or None,
            series=_text(target, _SERIES_UID) or None,
            instance=_text(target, _INSTANCE_UID) or None,
        )
        return target, pseudonyms, walk

    def _report(self, actions: dict[str, int], groups: dict[str, int], pixels: MaskedFrames) -> DeidReport:
        return DeidReport(
            policy=self.policy.name,
            policy_digest=self.policy_digest,
            methods=self._methods,
            actions=actions,
            groups=groups,
            frames_looked_at=pixels.looked_at,
            regions_masked=pixels.regions,
            masked_share=pixels.share,
            seconds_text=pixels.seconds,
        )


def _sanitized(
    image: IdentifiableImage, pixels: MaskedFrames, dataset: Dataset | None, pseudonyms: Pseudonyms, report: DeidReport
) -> SanitizedImage:
    return SanitizedImage(
        frames=pixels.frames,
        frame_numbers=image.frame_numbers,
        total_frames=image.total_frames,
        modality=image.modality,
        dataset=dataset,
        pseudonyms=pseudonyms,
        report=report,
        seal=_SEAL,
    )


def _segments(found: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Actions and groups of a raster's metadata."""
    removed = {kind: count for kind, count in found.items() if count}
    return ({"metadata": sum(removed.values())} if removed else {}), removed


def _text(dataset: Dataset, tag: int) -> str:
    if tag not in dataset:
        return ""
    return "\\".join(texts(dataset.get_item(tag)))


def _tags(tags: Iterable[int]) -> str:
    return ", ".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in sorted(set(tags))[:8])
