"""Step 3 of 7: attributes that tell the truth about pixels that were changed (PS3.3 C.7.6.1.1.5, C.7.6.3; PS3.5 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.dataelem import DataElement
from pydicom.uid import UID

from gateway.deid.values import texts

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from gateway.deid.recode import Recoder
    from gateway.ingest.codecs import PixelSource

_OFFSET_TABLES = (0x7FE00001, 0x7FE00002)
_EXTREMES = tuple(0x00280000 + number for number in (0x0104, 0x0105, 0x0106, 0x0107, 0x0108, 0x0109, 0x0110, 0x0111))
"""Smallest and largest values: type 3, and wrong when values were changed."""
_PHOTOMETRIC, _PLANAR = 0x00280004, 0x00280006
_LOSSY, _RATIO, _METHOD = 0x00282110, 0x00282112, 0x00282114
_METHODS = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
    "1.2.840.10008.1.2.4.91": "ISO_15444_1",
    "1.2.840.10008.1.2.4.203": "ISO_15444_15",
}
"""Lossy transfer syntaxes, and the term for their method (PS3.3 C.7.6.1.1.5.1). The last three can be lossless too:
when nobody said so, they are taken for lossy."""


def describe(target: Dataset, source: PixelSource, recoder: Recoder | None) -> None:
    """Set and remove attributes of a de-identified data set and its file meta.

    Args:
        target: Changed in place.
        source: The pixels as they came.
        recoder: How changed frames are written; None if none was changed.
    """
    for tag in _OFFSET_TABLES:  # frames are framed anew, with an empty Basic Offset Table
        if tag in target:
            del target[tag]
    target.file_meta.TransferSyntaxUID = UID(source.syntax.uid if recoder is None else recoder.syntax.uid)
    if recoder is None:
        return
    for tag in _EXTREMES:
        if tag in target:
            del target[tag]
    header = recoder.header
    if header.photometric != source.header.photometric:
        target[_PHOTOMETRIC] = DataElement(_PHOTOMETRIC, "CS", header.photometric)
    if header.samples == 3 and header.planar != source.header.planar:
        target[_PLANAR] = DataElement(_PLANAR, "US", int(header.planar))
    if recoder.syntax.uid != source.syntax.uid:
        _keep_lossy(target, source)


def _keep_lossy(target: Dataset, source: PixelSource) -> None:
    """What a lossy codec took away stays away, also when frames are no longer compressed."""
    method = _METHODS.get(source.syntax.uid)
    if method is None or (_LOSSY in target and texts(target.get_item(_LOSSY))[:1] in (["01"], ["00"])):
        return
    ratio = source.header.frame_bits * source.header.frames / 8 / max(len(source.value), 1)
    target[_LOSSY] = DataElement(_LOSSY, "CS", "01")
    target[_RATIO] = DataElement(_RATIO, "DS", f"{ratio:.2f}")
    target[_METHOD] = DataElement(_METHOD, "CS", method)
