"""The second look finds an identifier in any form, and takes no term of the standard for one."""

from __future__ import annotations

import time

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
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


def raw(vr: str, value: bytes, tag: int = 0x00081030) -> Dataset:
    target = Dataset()
    target[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)
    return target


def test_the_file_meta_belongs_to_the_output():
    target = Dataset()
    target.file_meta = FileMetaDataset()
    target.file_meta.SourceApplicationEntityTitle = "TESTMANN"
    assert found(target, PatientName="Testmann^Erika") == [0x00020016]


def test_an_identifier_is_no_find_in_a_uid_of_the_standard_and_is_one_in_another():
    assert found(raw("UI", b"1.2.840.10008.5.1.4.1.1.2", 0x00080016), PatientID="840") == []
    assert found(raw("UI", b"1.2.3.778812.1", 0x00081155), PatientID="778812") == [0x00081155]


@pytest.mark.parametrize("codec", ["utf-8", "iso8859-5", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["Иванова", "ИВАНОВА", "ИвАнОвА"])
def test_a_name_in_another_alphabet_is_found_in_any_case_and_encoding(codec, name):
    if codec.startswith("utf-16") and name == "ИвАнОвА":
        pytest.skip("no character set of the standard writes 16 bits a letter")
    value = f"y {name}, x".encode(codec)
    assert found(raw("LO", value), PatientName="Иванова^Анна", charset="ISO_IR 144") == [0x00081030]


def test_a_name_in_small_and_capital_letters_is_found_where_the_value_is_text_already():
    target = Dataset()
    target.StudyDescription = "bei ИвАнОвА"
    assert found(target, PatientName="Иванова^Анна") == [0x00081030]


@pytest.mark.parametrize("codec", ["utf-8", "shift_jis", "euc_jp", None])
def test_a_name_is_found_within_running_text_of_a_script_without_spaces(codec):
    text = "患者山田太郎さん"
    target = Dataset()
    if codec is None:
        target.StudyDescription = text
    else:
        target = raw("LO", text.encode(codec))
    charset = "ISO 2022 IR 13" if codec == "shift_jis" else "ISO_IR 192"
    expected = [] if codec == "euc_jp" else [0x00081030]  # a character set that DICOM does not have
    assert found(target, PatientName="山田^太郎", charset=charset) == expected


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_letters_of_sixteen_bits_are_found_in_text_too(codec):
    assert found(raw("LO", "x TESTMANN".encode(codec)), PatientName="Testmann^Erika") == [0x00081030]


def test_what_stands_beside_letters_of_another_script_is_a_word():
    for text, tags in (("für „Erika“", [0x00081030]), ("Erikaé", []), ("Größe Ann", []), ("Größe Erika", [0x00081030])):
        assert found(raw("LO", text.encode()), PatientName="Testmann^Erika") == tags


def test_a_codec_that_is_no_character_set_of_the_standard_hides_nothing():
    value = "Testmann".encode("cp037")
    assert found(raw("LO", value), PatientName="Testmann^Erika", charset="CP037") == [0x00081030]


def test_the_written_bytes_are_searched_where_they_are_given():
    target = raw("LO", b"seen by Testmann")
    identifiers = Identifiers({"Testmann"})
    assert survivors(target, identifiers, TABLES, b"...Seen by TESTMANN...") == [0x00081030]
    assert survivors(target, identifiers, TABLES, b"nothing") == []


def test_a_large_header_is_searched_in_time():
    target = raw("OW", bytes(range(256)) * 40_000, 0x00281201)
    identifiers = Identifiers({f"identifier{number}" for number in range(100)})
    began = time.process_time()
    assert survivors(target, identifiers, TABLES) == []
    assert time.process_time() - began < 3
