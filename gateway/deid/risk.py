"""Step 3 of 7: how likely an object has print in its pixels, by its header. It decides how closely it is looked at.

    high    what a screen, a camera or a scanner made; what says that it has print; what is not known
    medium  all other
    low     CT and MR that say they are original, and that there is no print

What a header says is not proof, so no class goes without a look. The signals are those of the burned-in pixels filter
of RSNA's Clinical Trial Processor and of deid.dicom of pydicom/deid, and the conclusions are ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

from gateway.deid.values import texts

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Risk: TypeAlias = Literal["high", "medium", "low"]

_MODALITY, _IMAGE_TYPE, _BURNED_IN, _CONVERSION = 0x00080060, 0x00080008, 0x00280301, 0x00080064
_DESCRIPTIONS = (0x0008103E, 0x00081030)
_CAPTURE = (0x00181010, 0x00181012, 0x00181014, 0x00181016, 0x00181018, 0x00181019)
"""Secondary capture: device, date, time, manufacturer, model, software."""
_MEDIUM = frozenset({"CR", "CT", "DX", "IO", "KO", "MG", "MR", "NM", "PET", "PT", "PX", "RF", "RTDOSE", "SEG", "XA"})
_LOW = frozenset({"CT", "MR"})
_SCREEN = re.compile(r"\b(?:SAVE|SCREEN|SCREENSHOT|CAPTURE|REPORT|DOSE INFO|PROTOCOL)\b")
_FROM_FILM = frozenset({"DF", "DI", "DRW", "DV", "SD", "SI", "SYN", "WSD"})
"""Conversion Type (PS3.3 C.8.6.1): film, interfaces, drawings, video, scans, synthetic images, workstations."""


def risk(dataset: Dataset) -> Risk:
    """Of a DICOM data set as it came in. A raster says nothing of itself, and is ``high``."""
    modality = "".join(_values(dataset, _MODALITY)[:1])
    kind = _values(dataset, _IMAGE_TYPE)
    says = "".join(_values(dataset, _BURNED_IN)[:1])
    described = [value for tag in _DESCRIPTIONS for value in _values(dataset, tag)]
    if (
        modality not in _MEDIUM
        or says not in {"", "NO"}
        or kind[:2] == ["DERIVED", "SECONDARY"]
        or any(_SCREEN.search(value) for value in (*kind, *described))
        or any(_values(dataset, tag) for tag in _CAPTURE)
        or _FROM_FILM.intersection(_values(dataset, _CONVERSION))
    ):
        return "high"
    if modality in _LOW and kind[:2] == ["ORIGINAL", "PRIMARY"] and says == "NO":
        return "low"
    return "medium"


def _values(dataset: Dataset, tag: int) -> list[str]:
    """An attribute's values in capitals; none if it is absent or empty."""
    if tag not in dataset:
        return []
    return [value for text in texts(dataset.get_item(tag)) if (value := text.strip(" \0").upper())]
