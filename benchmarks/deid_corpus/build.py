"""De-identification benchmark: from the table of modules to a data set, with a fact noted for every element placed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from benchmarks.deid_corpus.paths import Path, Step, concept_of, find
from benchmarks.deid_corpus.people import dice
from benchmarks.deid_corpus.tables import rows
from benchmarks.deid_corpus.values import Value, make

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.deid_corpus.values import Scene

MODULES = ("sop", "patient", "trial", "study", "series")
"""In every object, before those that its kind names."""
OPTIONAL, STRAY, PRIVATE = 0.75, 0.3, 0.4
"""Share of Type 3 attributes, of attributes that belong elsewhere, and of private creators that an instance has."""
REQUIRED = ("SharedFunctional", "PerFrameFunctional", "ContentSequence", "SegmentSequence")
"""Beginnings of the names of sequences that are never left out."""
CONTENT = (0x0040A730, 0x00400555)
"""Content Sequence and Acquisition Context Sequence: their items have concept names."""
_SEGMENT = re.compile(r"(\w+?)(?:([@*])(\w+))?")


@dataclass(frozen=True, slots=True)
class Fact:
    """One element that was placed.

    Attributes:
        path: Where.
        keyword: Its keyword; of an overlay ``60xxEEEE``; of a private one its creator.
        vr: Value representation.
        type: 1, 2 or 3, of the attribute in its module (PS3.5 §7.4).
        maker: What made the value.
        text: The value as text; multiple values joined by backslashes.
        phi: Strings in it that identify.
        keep: Words in it that a cleaning must leave.
        above: Keywords of the sequences it stands in, outermost first.
        private: It stands in a private block, or below a private sequence.
        safe: The standard lists it as safe private (PS3.15 Table E.3.10-1).
    """

    path: Path
    keyword: str
    vr: str
    type: str
    maker: str
    text: str
    phi: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    above: tuple[str, ...] = ()
    private: bool = False
    safe: bool = False


def as_text(value: object) -> str:
    """A value in the form in which values are compared."""
    if isinstance(value, bytes):
        return value.rstrip(b"\0").hex()
    if isinstance(value, str) or not hasattr(value, "__iter__") or type(value).__name__ == "PersonName":
        return str(value)
    return "\\".join(str(part) for part in value)


@cache
def _private_rows() -> list[dict[str, str]]:
    return rows("private")


@cache
def _modules() -> dict[str, list[dict[str, str]]]:
    table: dict[str, list[dict[str, str]]] = {}
    for row in rows("modules"):
        table.setdefault(row["module"], []).append(row)
    return table


def header(scene: Scene, frames: int) -> tuple[Dataset, list[Fact]]:
    """The header of an instance, without what describes its pixels.

    Args:
        scene: Whose, and which.
        frames: Items of every sequence that has one a frame.
    """
    dataset, facts = Dataset(), list[Fact]()
    if scene.patient.charset:
        dataset.SpecificCharacterSet = list(scene.patient.charset)
    chance = dice(*scene.scope("instance"), "chance")
    decided: dict[str, bool] = {}
    for module in (*MODULES, *scene.kind["modules"].split()):
        if (module == "trial" and scene.patient.number % 3) or (module == "overlay" and chance.random() > STRAY):
            continue
        share = STRAY if module == "odd" else OPTIONAL
        for row in _modules()[module]:
            # A sequence is there as a whole or not at all.
            root = row["path"].partition("/")[0]
            always = (root == row["path"] and row["type"] != "3") or module == "overlay" or root.startswith(REQUIRED)
            if root not in decided:
                decided[root] = always or chance.random() < share
            if decided[root]:
                facts.extend(_place(dataset, row, scene, frames))
    facts = [_by_concept(dataset, fact) for fact in facts]
    facts.extend(_private(dataset, scene))
    dataset.SOPClassUID = scene.kind["sop_class"]
    facts.extend(_file_meta(dataset, scene, chance.random() < STRAY))
    return dataset, facts


def _place(dataset: Dataset, row: dict[str, str], scene: Scene, frames: int) -> Iterator[Fact]:
    above = tuple(re.split("[@*]", part)[0] for part in row["path"].split("/")[:-1])
    for parent, path, frame in _parents(dataset, row["path"].split("/")[:-1], frames):
        name = row["path"].rpartition("/")[2]
        tag = int(name, 16) if name[0].isdigit() else tag_for_keyword(name)
        if tag is None:
            raise ValueError(f"modules.csv: no attribute {name}")
        vr = dictionary_VR(tag).split(" ")[0]
        if row["make"] == "bytes:icon" or tag == 0x60003000:
            vr = "OB"
        if tag in parent:
            continue  # of two modules that hold an attribute the first decides
        spot = row["path"] + str([step.item for step in path])
        made = make(row["make"], vr, scene, spot, frame)
        element = DataElement(tag, vr, made.value)
        parent.add(element)
        keyword = f"60xx{tag & 0xFFFF:04X}" if tag >> 16 == 0x6000 else name
        yield Fact(
            (*path, Step(tag)),
            keyword,
            vr,
            row["type"],
            row["make"],
            as_text(element.value),
            made.phi,
            made.keep,
            above,
        )


def _by_concept(dataset: Dataset, fact: Fact) -> Fact:
    """Content items are named by their concept, not by their number."""
    path: list[Step] = []
    for step in fact.path:
        element = find(dataset, (*path, step)) if step.tag in CONTENT else None
        concept = concept_of(element.value[step.item]) if element is not None and step.item is not None else None
        path.append(replace(step, concept=concept))
    return replace(fact, path=tuple(path))


def _parents(dataset: Dataset, segments: list[str], frames: int) -> list[tuple[Dataset, Path, int]]:
    """Every dataset that the sequences of a path lead to; items that are missing are made."""
    reached: list[tuple[Dataset, Path, int]] = [(dataset, (), 0)]
    for segment in segments:
        match = _SEGMENT.fullmatch(segment)
        if match is None:
            raise ValueError(f"modules.csv: {segment}")
        tag = tag_for_keyword(match[1])
        if tag is None:
            raise ValueError(f"modules.csv: no sequence {match[1]}")
        count = frames if match[3] == "F" else int(match[3] or 0)
        items = range(count) if match[2] == "*" else range(count, count + 1)
        below = []
        for parent, path, frame in reached:
            if tag not in parent:
                parent.add_new(tag, "SQ", Sequence())
            sequence = parent[tag].value
            while len(sequence) <= items[-1]:
                sequence.append(Dataset())
            below += [(sequence[item], (*path, Step(tag, item)), item if match[2] == "*" else frame) for item in items]
        reached = below
    return reached


def _private(dataset: Dataset, scene: Scene) -> Iterator[Fact]:
    for row in _private_rows():
        roll = dice(*scene.scope("series"), "private", row["creator"])
        if roll.random() > PRIVATE:
            continue
        group, creator = int(row["group"], 16), row["creator"]
        element, _, inner = row["path"].partition("/")
        block = dataset.private_block(group, creator, create=True)
        offset = int(element, 16)
        here = Step(group << 16 | offset, 0 if inner else None, creator)
        if not inner:
            made = make(row["make"], row["vr"], scene, creator + element)
            block.add_new(offset, row["vr"], made.value)
            yield Fact(
                (here,), creator, row["vr"], "3", row["make"], as_text(block[offset].value), made.phi, made.keep, (),
                private=True, safe=row["safe"] == "K",
            )  # fmt: skip
            continue
        if offset not in block:
            block.add_new(offset, "SQ", Sequence([Dataset()]))
        nested = {"path": inner, "type": "3", "make": row["make"]}
        for fact in _place(block[offset].value[0], nested, scene, 1):
            yield Fact(
                (here, *fact.path),
                creator,
                fact.vr,
                "3",
                fact.maker,
                fact.text,
                fact.phi,
                fact.keep,
                fact.above,
                private=True,
            )


def _file_meta(dataset: Dataset, scene: Scene, stray: bool) -> Iterator[Fact]:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(scene.kind["sop_class"])
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID("1.2.840.999999.1")
    made: dict[str, tuple[str, Value]] = {"MediaStorageSOPInstanceUID": ("uid:instance", Value(dataset.SOPInstanceUID))}
    if stray:
        made["SourceApplicationEntityTitle"] = ("place:ae", make("place:ae", "AE", scene, "meta"))
        made["PrivateInformationCreatorUID"] = ("free:", make("uid:creator", "UI", scene, "meta"))
        made["PrivateInformation"] = ("bytes:patient", make("bytes:patient", "OB", scene, "meta"))
    for keyword, (maker, value) in made.items():
        setattr(meta, keyword, value.value)
        tag = tag_for_keyword(keyword) or 0
        yield Fact((Step(tag),), keyword, dictionary_VR(tag), "1" if maker == "uid:instance" else "3", maker,
                   as_text(value.value), value.phi)  # fmt: skip
    dataset.file_meta = meta
