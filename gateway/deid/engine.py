"""Step 3 of 7: identifiable in, sanitized out. The one place where a SanitizedImage or SanitizedObject is made.

Order: pixels, header, stamp, second look. What cannot be done with certainty refuses the image: nothing leaves half
clean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.deid.features import VisualFeatures
from gateway.deid.image import _SEAL, Pseudonyms, SanitizedImage, SanitizedObject
from gateway.deid.look import Look
from gateway.deid.markers import shipped
from gateway.deid.overlays import OverlayCleaner
from gateway.deid.pixels import LEAVES, PixelMasker
from gateway.deid.policy import digest, load_policy
from gateway.deid.profile import HeaderProfile
from gateway.deid.report import DeidReport
from gateway.deid.tables import Tables, load_tables
from gateway.deid.templates import Templates
from gateway.deid.uids import MIN_KEY_BYTES
from gateway.deid.whole import ObjectCleaner
from gateway.deid.write import Header
from gateway.errors import NotSanitizable
from gateway.ingest.guard import silence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydicom.dataset import Dataset

    from gateway.deid.pixels import MaskedFrames
    from gateway.deid.policy import DeidPolicy
    from gateway.deid.rulebook import Rulebook
    from gateway.deid.survey import Tally
    from gateway.ingest.image import IdentifiableImage
    from gateway.ingest.object import IdentifiableObject


class DeidEngine:
    """One policy, its tables and one key. Load it once; it serves every tenant and holds nothing of an image."""

    def __init__(
        self, policy: DeidPolicy, policy_digest: str, tables: Tables, key: bytes, templates: Templates
    ) -> None:
        self.policy = policy
        self.policy_digest = policy_digest
        self._header = HeaderProfile(policy, tables, key)
        look = Look(shipped() if policy.pixels.whole.keep_markers else None)
        self._masker = PixelMasker(policy.pixels, look)
        self._overlays = OverlayCleaner(policy.pixels, look)
        self._features = VisualFeatures(tables.head_words, tables.types.iods)
        self._cleaner = ObjectCleaner(policy.pixels, templates, look)

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
        templates = Templates.beside(policy, signed.pixels.whole.templates)
        return cls(signed, digest(content + templates.content, tables.digest), tables, key, templates)

    @property
    def rulebook(self) -> Rulebook:
        """The rules that the policy makes, which describe themselves."""
        return self._header.rulebook

    @silence()
    def deidentify(self, image: IdentifiableImage, *, tenant: str, leaves: int = LEAVES) -> SanitizedImage:
        """Make an image that identifies nobody.

        Args:
            image: What ingest decoded; not changed.
            tenant: Whose it is: stand-ins of different tenants cannot be linked.
            leaves: The longer side of what leaves for the model, pixels: the larger, the closer the look for text.

        Raises:
            NotSanitizable: An identifier survived, more would have to be masked than the policy allows, the policy
                refuses what could show a face, or the text detector failed.
            Unreadable: A frame cannot be decoded.
        """
        self._refuse_faces(image.dataset)
        pixels = self._masker.mask(image, leaves)
        every_frame = self.policy.pixels.look and len(image.frame_numbers) == image.total_frames
        if image.dataset is None:
            actions, groups = _segments(image.segments)
            report = self._report(actions, groups, pixels)
            return _sanitized(image, pixels, None, Pseudonyms(), report)
        header = self._header.clean(image.dataset, tenant, pixels_clean=every_frame)
        header.second_look(None)
        report = self._report(header.actions, header.groups, pixels, header.found)
        return _sanitized(image, pixels, header.dataset, header.pseudonyms, report)

    @silence()
    def deidentify_object(self, found: IdentifiableObject, *, tenant: str) -> SanitizedObject:
        """Make a whole object, to be given back, that identifies nobody.

        Args:
            found: What ingest read; not changed.
            tenant: Whose it is: stand-ins of different tenants cannot be linked.

        Raises:
            NotSanitizable: An identifier survived, more would have to be masked than the policy allows, the policy
                refuses what could show a face, the object holds what cannot be looked into, or the text detector
                failed.
            Unreadable: A frame cannot be decoded.
            ImageTooLarge: A length is more than a DICOM file can state.
        """
        self._refuse_faces(found.dataset)
        if found.raster is not None:
            raster = self._cleaner.raster(found.raster)
            report = self._report(*_segments(found.raster.segments), raster.tally, risk="high", recoded=raster.recoded)
            return SanitizedObject(raster.data, raster.media_type, None, Pseudonyms(), report, _SEAL)
        assert found.dataset is not None
        pixels = self._cleaner.pixels(found)
        header = self._header.clean(found.dataset, tenant, pixels_clean=pixels.complete, overlays=self._overlays)
        pixels.describe(header.dataset)
        encoded = Header.of(header.dataset, pixels.value)
        header.second_look(encoded.written)
        data = encoded.file(pixels.value)
        report = self._report(
            header.actions,
            header.groups,
            pixels.tally,
            header.found,
            risk=pixels.risk or "",
            templates=pixels.templates,
            recoded=pixels.recoded,
        )
        return SanitizedObject(data, found.media_type, header.dataset, header.pseudonyms, report, _SEAL)

    def _refuse_faces(self, dataset: Dataset | None) -> None:
        """Under the Clean Recognizable Visual Features Option, what could show a face goes no further."""
        if self.policy.visible_features == "accept":
            return
        why = "It has no header that says what it shows"
        if dataset is None or (why := self._features.could_show_a_face(dataset) or ""):
            raise NotSanitizable(f"The policy refuses images that could show a face. {why}")

    def _report(
        self,
        actions: Mapping[str, int],
        groups: Mapping[str, int],
        pixels: MaskedFrames | Tally,
        found: Mapping[str, int] | None = None,
        *,
        risk: str = "",
        templates: tuple[str, ...] = (),
        recoded: str = "",
    ) -> DeidReport:
        return DeidReport(
            policy=self.policy.name,
            policy_digest=self.policy_digest,
            methods=self.policy.methods,
            actions=dict(actions),
            groups=dict(groups),
            text_found=dict(found or {}),
            frames_looked_at=pixels.looked_at,
            regions_masked=pixels.regions,
            masked_share=pixels.share,
            seconds_text=pixels.seconds,
            frames_masked=pixels.frames_masked,
            risk=risk,
            templates=templates,
            recoded=recoded,
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
        stored=image.stored,
        masks=pixels.masks,
        seal=_SEAL,
    )


def _segments(found: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Actions and groups of a raster's metadata."""
    removed = {kind: count for kind, count in found.items() if count}
    return ({"metadata": sum(removed.values())} if removed else {}), removed
