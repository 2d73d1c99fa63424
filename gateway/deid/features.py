"""Step 3 of 7: images that could show who somebody is (PS3.15 E.3.2, Clean Recognizable Visual Features Option).

From the slices of a head a face can be rebuilt, and a photograph shows one. Nothing is cut away here: under a policy
that says so, such an object is refused. What does not say which part of the body it shows counts as a head.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.dataelem import DataElement, RawDataElement

from gateway.deid.values import texts
from gateway.ingest.vr import TAGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydicom.dataset import Dataset

_SLICES = re.compile(r"(legacy-converted-)?(enhanced-)?(ct|mr|mr-color|pet)-image|positron-emission-tomography-image")
_PHOTOGRAPHS = frozenset(
    {
        "vl-photographic-image",
        "video-photographic-image",
        "dermoscopic-photography-image",
        "x-ray-3d-craniofacial-image",
    }
)
_WITHOUT_IMAGE = re.compile(r".*(-sr|presentation-state|-plan|structure-set|-record|-waveform|-ecg|-storage)$")
_SOP_CLASS, _BODY_PART, _REGION, _MEANING = 0x00080016, 0x00180015, 0x00082218, 0x00080104
_DESCRIPTIONS = (0x00081030, 0x0008103E, 0x00181030, 0x00321060, 0x00400254)
_WORD = re.compile(r"[^\W\d_]+")
_LEAST_BEGINNING = 6


@dataclass(frozen=True, slots=True)
class VisualFeatures:
    """Tells which objects could show a face.

    Attributes:
        head_words: Words of which one is enough, capital letters.
        iods: SOP Class UID to the name of its IOD.
    """

    head_words: frozenset[str]
    iods: Mapping[str, str]

    def could_show_a_face(self, dataset: Dataset) -> str | None:
        """Why an object could; None if it cannot.

        Args:
            dataset: A header, with identifiers.
        """
        iod = self.iods.get(next(iter(_values(dataset, _SOP_CLASS)), ""), "")
        if iod in _PHOTOGRAPHS:
            return "It is of a kind that shows faces"
        if _WITHOUT_IMAGE.fullmatch(iod):
            return None
        regions = [*_values(dataset, _BODY_PART), *_meanings(dataset)]
        described = [text for tag in _DESCRIPTIONS for text in _values(dataset, tag)]
        if any(self._is_head(word) for text in (*regions, *described) for word in _WORD.findall(text.upper())):
            return "It says that it shows a head, a neck or a whole body"
        if _SLICES.fullmatch(iod) and not any(regions):
            return "It holds slices, and does not say of which part of the body"
        return None

    def _is_head(self, word: str) -> bool:
        return word in self.head_words or any(
            word.startswith(head) for head in self.head_words if len(head) >= _LEAST_BEGINNING
        )


def _values(dataset: Dataset, tag: int) -> Iterable[str]:
    key = TAGS[tag]
    element = dataset.get_item(key) if key in dataset else None
    return [text for text in texts(element) if text] if isinstance(element, (RawDataElement, DataElement)) else []


def _meanings(dataset: Dataset) -> Iterator[str]:
    """Code Meanings of the Anatomic Region Sequence."""
    key = TAGS[_REGION]
    regions = dataset.get_item(key) if key in dataset else None
    if isinstance(regions, DataElement):
        for item in regions.value or ():
            yield from _values(item, _MEANING)
