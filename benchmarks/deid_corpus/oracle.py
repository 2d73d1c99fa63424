"""De-identification benchmark: an output that is right, made from the key itself. Shows that the key can be met.

Tests plant mistakes in it. Not an engine: it knows where everything stands.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.dataset import Dataset

from benchmarks.deid_corpus.key import ActionType, actions
from benchmarks.deid_corpus.output import Output
from benchmarks.deid_corpus.paths import find, parent_of

if TYPE_CHECKING:
    from benchmarks.deid_corpus.codes import OptionSet
    from benchmarks.deid_corpus.corpus import Instance
    from benchmarks.deid_corpus.key import Action
    from benchmarks.deid_corpus.paths import Path

DUMMIES = {
    "DA": "19000101",
    "TM": "000000",
    "DT": "19000101000000",
    "UI": "2.25.1",
    "AS": "000Y",
    "UN": b"\0\0",
    "OB": b"\0\0",
}


def oracle(instance: Instance, options: OptionSet) -> Output:
    """What a faultless engine gives. Pixels are left out."""
    dataset = dcmread(BytesIO(instance.data))
    wanted: dict[Path, list[Action]] = defaultdict(list)
    for action in actions(instance, options):
        wanted[action.path].append(action)
    for path, asked in wanted.items():
        _answer(dataset, path, asked, instance.patient.number)
    for fact in instance.facts:
        if fact.private and not (fact.safe and "private" in options.options):
            _drop(dataset, fact.path[:1])
    if "PixelData" in dataset:
        del dataset.PixelData
    dataset.PatientIdentityRemoved = "YES"
    dataset.LongitudinalTemporalInformationModified = options.temporal
    dataset.DeidentificationMethodCodeSequence = [_method(code) for code in options.methods]
    return Output(dataset)


def _method(code: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", "stated"
    return item


def _answer(dataset: Dataset, path: Path, asked: list[Action], patient: int) -> None:
    element = find(dataset, path)
    if element is None:
        return
    types = {action.type: action for action in asked}
    new = hashlib.sha256(asked[0].original.encode()).hexdigest()
    if ActionType.UID_CHANGED in types:
        element.value = f"2.25.{int(new[:30], 16)}"
    elif ActionType.PATID_CONSISTENT in types:
        element.value = new[:16]
    elif ActionType.DATE_SHIFTED in types and types[ActionType.DATE_SHIFTED].expected == ("shifted",):
        day = datetime.strptime(asked[0].original[:8], "%Y%m%d") - timedelta(days=100 + patient)  # noqa: DTZ007 - a day
        element.value = f"{day:%Y%m%d}" + asked[0].original[8:]
    elif ActionType.TEXT_REMOVED in types or ActionType.DATE_SHIFTED in types:
        if ActionType.TEXT_RETAINED in types:
            element.value = " ".join(types[ActionType.TEXT_RETAINED].expected)
        elif ActionType.TEXT_NOTNULL in types:
            element.value = DUMMIES.get(element.VR, "X")
        elif ActionType.TAG_RETAINED in types:
            element.value = b"" if element.VR in ("OB", "UN") else ""
        else:
            _drop(dataset, path)


def _drop(dataset: Dataset, path: Path) -> None:
    element, parent = find(dataset, path), parent_of(dataset, path)
    if element is not None and parent is not None:
        del parent[element.tag]
