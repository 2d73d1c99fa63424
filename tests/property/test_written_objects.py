"""Whatever a data set holds, our writer and pydicom's say the same, and what ours writes is read and written again."""

from __future__ import annotations

import warnings
from io import BytesIO

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from gateway.deid.write import write_object
from gateway.ingest.part10 import read_file
from gateway.settings import IngestSettings
from tests.support.flat import flat

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
LIMITS = IngestSettings()

text = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="\\^="), max_size=16)
code = st.text("ABCXYZ0189_", max_size=16)
number = st.floats(allow_nan=False, allow_infinity=False, width=16)
unsigned = st.integers(0, 2**32 - 1)

VALUES: dict[int, st.SearchStrategy] = {
    0x00080008: st.one_of(code, st.none(), st.lists(code.filter(bool), min_size=2, max_size=3)),  # CS
    0x00080018: st.integers(0, 2**64).map(lambda value: f"2.25.{value}"),  # UI
    0x00080020: st.sampled_from(["20200131", ""]),  # DA
    0x00080030: st.sampled_from(["101112", "10", "101112.123456"]),  # TM
    0x0008002A: st.sampled_from(["20200131101112.1", "2020"]),  # DT
    0x00080054: code,  # AE
    0x00080119: text,  # UC
    0x00080120: st.sampled_from(["http://a.example/b", "urn:c", ""]),  # UR
    0x00081030: text,  # LO
    0x00081160: st.one_of(st.integers(0, 2**31 - 1), st.none()),  # IS
    0x00081162: st.one_of(unsigned, st.lists(unsigned, min_size=2, max_size=4)),  # UL
    0x00100010: st.tuples(text, text).map("^".join),  # PN
    0x00101010: st.sampled_from(["042Y", "007D", ""]),  # AS
    0x00104000: text,  # LT
    0x00180050: st.one_of(number.map(lambda value: f"{value:.6g}"), st.none()),  # DS
    0x00186060: number,  # FL
    0x00189073: number,  # FD
    0x00189089: st.lists(number, min_size=3, max_size=3),  # FD
    0x00280009: st.sampled_from([0x00181063, 0x00181065]),  # AT
    0x00280010: st.integers(0, 0xFFFF),  # US
    0x00281201: st.binary(max_size=4).map(lambda value: 2 * value),  # OW
    0x0040A160: text,  # UT
    0x00420011: st.binary(max_size=9),  # OB
}
SEQUENCES = (0x00081140, 0x00400275, 0x00409096)


def datasets(depth: int = 2) -> st.SearchStrategy[Dataset]:
    plain = st.dictionaries(st.sampled_from(sorted(VALUES)), st.none(), max_size=8).flatmap(
        lambda chosen: st.fixed_dictionaries({tag: VALUES[tag] for tag in chosen})
    )
    items = st.lists(datasets(depth - 1), max_size=2) if depth else st.just([])
    return st.builds(_dataset, plain, st.dictionaries(st.sampled_from(SEQUENCES), items, max_size=2))


def _dataset(values: dict[int, object], sequences: dict[int, list[Dataset]]) -> Dataset:
    dataset = Dataset()
    for tag, value in values.items():
        dataset.add(DataElement(tag, pydicom.datadict.dictionary_VR(tag), value))
    for tag, items in sequences.items():
        dataset.add(DataElement(tag, "SQ", Sequence(items)))
    return dataset


@pytest.mark.parametrize("syntax", SYNTAXES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(dataset=datasets())
def test_both_writers_say_the_same(syntax: str, dataset: Dataset) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = CTImageStorage, "1.2"
    dataset.file_meta.TransferSyntaxUID = syntax
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # long values are no fault of the writers
        theirs = BytesIO()
        pydicom.dcmwrite(theirs, dataset, enforce_file_format=True)
        ours = write_object(dataset)
        expected = flat(pydicom.dcmread(BytesIO(theirs.getvalue())))
        assert flat(pydicom.dcmread(BytesIO(ours))) == expected
        raw = read_file(ours, LIMITS).dataset
        assert write_object(raw) == ours
        assert flat(raw) == expected
