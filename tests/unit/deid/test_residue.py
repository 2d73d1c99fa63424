"""The second look finds an identifier in any form, and takes no term of the standard for one."""

from __future__ import annotations

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from gateway.deid.identifiers import Identifiers
from gateway.deid.residue import survivors
from gateway.deid.tables import load_tables

TABLES = load_tables()


def found(target: Dataset, **identifying: str) -> list[int]:
    source = Dataset()
    source.SpecificCharacterSet = identifying.pop("charset", "ISO_IR 192")
    identifiers = Identifiers()
    for keyword, value in identifying.items():
        setattr(source, keyword, value)
        tag = int(source[keyword].tag)
        identifiers.collect(source, tag, TABLES.identifiers.get(tag, "name"))
    return survivors(target, identifiers, TABLES)


@pytest.mark.parametrize("text", ["seen by Dr Testmann", "TESTMANN", "erika", "Testmann^Erika", "x_testmann, y"[2:]])
def test_a_name_or_its_component_is_found_in_any_case(text):
    target = Dataset()
    target.StudyDescription = text
    assert found(target, PatientName="Testmann^Erika") == [0x00081030]


def test_part_of_another_word_is_no_find():
    target = Dataset()
    target.StudyDescription = "annotation of planning"
    assert found(target, PatientName="Ann^Lan") == []


@pytest.mark.parametrize("form", ["1961-11-05", "05.11.1961", "11/05/1961", "19611105"])
def test_a_birth_date_is_found_in_other_forms(form):
    target = Dataset()
    target.StudyDescription = f"born {form}"
    assert found(target, PatientBirthDate="19611105") == [0x00081030]


@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_name_is_found_in_bytes_in_any_encoding(codec):
    target = Dataset()
    value = b"\1\2" + "Testmann".encode(codec) + b"\0\0"
    target[Tag(0x00282000)] = RawDataElement(Tag(0x00282000), "OB", len(value), value, 0, False, True)
    assert found(target, PatientName="Testmann^Erika") == [0x00282000]


def test_a_name_is_found_in_the_character_set_it_was_written_in():
    target = Dataset()
    value = "Иванова".encode("iso8859-5")
    target[Tag(0x00081030)] = RawDataElement(Tag(0x00081030), "LO", len(value), value, 0, False, True)
    assert found(target, PatientName="Иванова", charset="ISO_IR 144") == [0x00081030]


def test_an_identifier_deep_in_a_sequence_is_found():
    inner, outer, target = Dataset(), Dataset(), Dataset()
    inner.StudyDescription = "MRN778812"
    outer.ReferencedStudySequence = Sequence([inner])
    target.ReferencedStudySequence = Sequence([outer])
    assert found(target, PatientID="MRN778812") == [0x00081030]


def test_a_patient_called_head_does_not_make_every_head_an_identifier():
    target = Dataset()
    target.BodyPartExamined = "HEAD"
    assert found(target, PatientName="Head^John") == []


def test_a_short_number_in_a_number_is_no_find_and_a_long_one_is():
    target = Dataset()
    target.SliceThickness = "512"
    assert found(target, PatientID="512") == []
    target.SliceThickness = "7788123"
    assert found(target, PatientID="7788123") == [0x00180050]


def test_identifiers_are_in_no_repr():
    assert repr(Identifiers({"Testmann"})) == "Identifiers()"
