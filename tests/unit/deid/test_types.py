"""Types of attributes by IOD and sequence."""

from __future__ import annotations

import shutil

import pytest

from gateway.deid.tables import FOLDER, load_tables
from gateway.deid.types import AttributeTypes

CONTENT_DATE, SERIES_DATE, PROTOCOL, DESCRIPTION = 0x00080023, 0x00080021, 0x00181030, 0x00321060
REQUEST_ATTRIBUTES, REFERENCED_REQUEST = 0x00400275, 0x0040A370


@pytest.fixture(scope="module")
def types():
    return load_tables().types


@pytest.mark.parametrize(
    ("tag", "sop_class", "kind"),
    [
        (CONTENT_DATE, "1.2.840.10008.5.1.4.1.1.2", 2),  # CT
        (CONTENT_DATE, "1.2.840.10008.5.1.4.1.1.2.1", 1),  # Enhanced CT
        (SERIES_DATE, "1.2.840.10008.5.1.4.1.1.2", 3),
        (SERIES_DATE, "1.2.840.10008.5.1.4.1.1.128", 1),  # PET
        (0x00080070, "1.2.840.10008.5.1.4.1.1.2", 2),  # Manufacturer
        (0x00080070, "1.2.840.10008.5.1.4.1.1.66.4", 1),  # Segmentation
        (0x00081070, "1.2.840.10008.5.1.4.1.1.481.3", 2),  # Operators' Name, RT Structure Set
        (0x00180022, "1.2.840.10008.5.1.4.1.1.4", 2),  # Scan Options, MR
        (0x00180022, "1.2.840.10008.5.1.4.1.1.2", 3),
    ],
)
def test_at_the_top_the_iod_decides(types, tag, sop_class, kind):
    assert types.of(tag, types.iods[sop_class], 0) == kind


def test_an_unknown_sop_class_has_the_strictest(types):
    assert types.of(CONTENT_DATE, None, 0) == types.of(SERIES_DATE, None, 0) == types.of(PROTOCOL, None, 0) == 1


def test_in_an_item_the_sequence_decides(types):
    assert types.of(DESCRIPTION, "ct-image", REFERENCED_REQUEST) == 2
    assert types.of(DESCRIPTION, "ct-image", REQUEST_ATTRIBUTES) == 3
    assert types.of(DESCRIPTION, "ct-image", 0) == 3


def test_every_storage_class_of_the_gateway_has_an_iod(types):
    served = "1 1.1 1.2 2 2.1 3.1 4 4.1 6.1 7 11.1 12.1 12.2 20 66.4 88.11 88.22 88.33 88.59 104.1 128 130"
    for sop_class in [*served.split(), "481.1", "481.2", "481.3", "481.5"]:
        assert f"1.2.840.10008.5.1.4.1.1.{sop_class}" in types.iods


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (" ct-image ", " ct-imago ", "'ct-imago' is none of"),
        ("00080021,Series Date,,*,3", "00080021,Series Date,,*,4", "'4' is none of"),
        ("00080021,Series Date,,*,3", "00080021,Series Date,,,3", "one of parents and iods"),
        ("00080021,Series Date,,*,3", "0008002,Series Date,,*,3", "eight hexadecimal digits"),
    ],
)
def test_a_damaged_table_is_named_with_its_line(tmp_path, old, new, complaint):
    for name in ("types.csv", "iods.csv"):
        shutil.copy(FOLDER / name, tmp_path)
    text = (tmp_path / "types.csv").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "types.csv").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=complaint) as caught:
        AttributeTypes.load(tmp_path)
    assert "types.csv line " in str(caught.value)
