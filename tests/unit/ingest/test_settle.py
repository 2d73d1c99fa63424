"""Step 2: a value is held against its representation while it is still bytes, and no word passes as a number."""

import re
import struct
import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from gateway.ingest.guard import silence
from gateway.ingest.part10 import read_file
from gateway.ingest.settle import settle
from gateway.settings import IngestSettings
from tests.support.dicom_files import IMPLICIT_LITTLE, element, file, implicit, item, text, us

LIMITS = IngestSettings()
UNLISTED = 0x00189999
WRITTEN = ("AS", "DA", "DS", "DT", "IS", "TM", "UI")
PATTERNS = {
    "AS": r"([0-9]{3}[DWMY])?",
    "DA": r"[0-9.-]*",
    "DT": r"[0-9.+-]*",
    "TM": r"[0-9.:-]*",
    "UI": r"[0-9.]*",
}


def raw(vr: str, value: bytes, tag: int = UNLISTED) -> RawDataElement:
    return RawDataElement(Tag(tag), vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)


def kept(vr: str, value: bytes, tag: int = UNLISTED) -> bool:
    dataset = Dataset()
    dataset._dict[Tag(tag)] = raw(vr, value, tag)
    settle(dataset)
    return tag in dataset


def converted_fits(vr: str, value: bytes) -> bool:
    """Whether pydicom makes of the bytes what the VR promises."""
    with silence():
        element_ = convert_raw_data_element(raw(vr, value))
    values = element_.value if element_.VM > 1 else [element_.value]
    if vr in PATTERNS:
        return all(re.fullmatch(PATTERNS[vr], str(one or "").strip(" \0")) for one in values)
    return all(isinstance(one, int | float) or not (one or "").strip() for one in values)


@pytest.mark.parametrize("vr", WRITTEN)
@given(data=st.data())
def test_what_is_kept_is_what_its_representation_promises(vr, data):
    value = data.draw(st.text("0123456789+-.eE:\\ \0DYnai_", max_size=24)).encode()
    if kept(vr, value):
        assert converted_fits(vr, value)


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("DS", b"1.5\\-2e3\\+.5\\7.\\ 12 \\"),
        ("DS", b"-1.23456789012345678901E-10 "),
        ("IS", b"12\\-3\\1.0 \0"),
        ("IS", b"2147483648"),
        ("DA", b"20200131\\2020.01.31\\20200101-20201231"),
        ("TM", b"101112.123456\\10:11:12.5 \\1011-"),
        ("DT", b"20200131101112.1+0100"),
        ("AS", b"042Y\\007D"),
        ("UI", b"1.2.3\\1.2\0"),
        ("US", b"\1\0\2\0"),
        ("AT", b"\x10\0\x10\0"),
        *[(vr, b"") for vr in WRITTEN],
    ],
)
def test_values_as_the_standard_and_real_writers_have_them_are_kept(vr, value):
    assert kept(vr, value)


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        *[
            (vr, word)
            for vr in WRITTEN
            for word in (b"DOE", b"Doe^Jane", b"1\\DOE", b"DOE\\1", b"1 2", b"\xe9", b"12\n3")
        ],
        *[(vr, b"nan") for vr in ("DS", "IS")],
        *[(vr, b"Infinity") for vr in ("DS", "IS")],
        *[(vr, b"1_000") for vr in ("DS", "IS")],
        *[(vr, b"0\0\\1") for vr in ("DS", "IS")],
        ("IS", b"1e999"),
        ("AS", b"42Y"),
        ("US", b"DOE"),
        ("AT", b"\x10\0\x10\0DOE"),
        ("AT", b"DOE"),
        ("UV", b"DOE JANE X"),
    ],
)
def test_words_and_values_of_the_wrong_length_are_dropped(vr, value):
    assert not kept(vr, value)


@pytest.mark.parametrize("vr", WRITTEN)
@pytest.mark.parametrize("part", [b" ", b"\0", b"1", b"1\\", b" \\ ", b"1.", b"+"])
def test_the_time_is_linear_in_the_length(vr, part):
    began = time.process_time()
    assert not kept(vr, part * 500_000 + b"DOE")
    assert time.process_time() - began < 1


def test_values_stay_bytes_and_nobody_is_warned():
    body = text(0x00100010, "PN", "Doe^Jane" * 20) + text(0x00180050, "DS", "1.23456789012345678")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = read_file(file(body), LIMITS).dataset
    assert [dataset.get_item(tag).value[:4] for tag in (0x00100010, 0x00180050)] == [b"Doe^", b"1.23"]


@pytest.mark.parametrize(("representation", "vr", "number"), [(0, "US", 0xFFFE), (1, "SS", -2)])
def test_numbers_that_are_signed_as_the_pixels_are_have_the_representation_that_they_have_here(
    representation, vr, number
):
    smallest = implicit(0x00280106, struct.pack("<H", 0xFFFE))
    body = implicit(0x00280103, struct.pack("<H", representation)) + smallest + implicit(0x00281101, b"\0\1\0\0\x08\0")
    dataset = read_file(file(body + implicit(0x00880200, item(smallest)), IMPLICIT_LITTLE), LIMITS).dataset
    for place in (dataset, dataset[0x00880200].value[0]):
        assert vr == place.get_item(0x00280106).VR
        assert place[0x00280106].value == number
    own = implicit(0x00880200, item(implicit(0x00280103, struct.pack("<H", 1 - representation)) + smallest))
    dataset = read_file(file(body + own, IMPLICIT_LITTLE), LIMITS).dataset
    assert vr != dataset[0x00880200].value[0].get_item(0x00280106).VR


@pytest.mark.parametrize(("entries", "vr"), [(1, "US"), (2, "OW")])
def test_a_table_of_one_entry_is_a_number(entries, vr):
    table = implicit(0x00283002, struct.pack("<HHH", entries, 0, 16)) + implicit(0x00283006, bytes(2 * entries))
    dataset = read_file(file(implicit(0x00283010, item(table)), IMPLICIT_LITTLE), LIMITS).dataset
    assert vr == dataset[0x00283010].value[0].get_item(0x00283006).VR


def test_unknown_representations_become_those_of_the_dictionary():
    body = element(0x00080020, "UN", b"20200131") + element(0x00080030, "UN", b"DOE ") + us(0x00280010, 2)
    private = text(0x00090010, "UN", "GEMS_IDEN_01") + element(0x00091002, "UN", b"ct01")
    dataset = read_file(file(body + private), LIMITS).dataset
    assert {int(tag): dataset.get_item(tag).VR for tag in dataset.keys()} == {  # noqa: SIM118 - would convert
        0x00080020: "DA",
        0x00280010: "US",
        0x00090010: "LO",
        0x00091002: "SH",
    }
