"""The tables as data: complete, as published, and strict."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest

from gateway.deid.tables import FOLDER, load_tables


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "tables"
    shutil.copytree(FOLDER, folder)
    return folder


def test_table_e_1_1_of_2026d_is_whole():
    rows = load_tables().profile
    assert len(rows) == 657
    assert Counter(row.basic for row in rows) == {
        "X": 417, "D": 93, "U": 55, "Z": 42, "X/D": 23, "X/Z": 11, "X/Z/D": 8, "Z/D": 6, "X/Z/U*": 2,
    }  # fmt: skip
    options = Counter((code, what) for row in rows for code, what in row.options.items())
    assert options == {
        ("113110", "K"): 60, ("113109", "K"): 48, ("113109", "C"): 11, ("113112", "K"): 10, ("113108", "K"): 14,
        ("113108", "C"): 5, ("113106", "K"): 169, ("113107", "C"): 169, ("113105", "C"): 141, ("113104", "C"): 4,
        ("113103", "C"): 4, ("113111", "C"): 1,
    }  # fmt: skip


def test_every_method_code_of_cid_7050_has_its_meaning():
    methods = load_tables().methods
    assert sorted(methods) == [str(code) for code in range(113100, 113113)]
    assert methods["113101"] == "Clean Pixel Data Option"


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("ps3.15-e.1-1.csv", ",X,,K,,,,,,,,\n00001001", ",Q,,K,,,,,,,,\n00001001", "line 5: 'Q' is none of"),
        ("ps3.15-e.1-1.csv", "00001001,", "0000100G,", "line 6: '0000100G' is neither a tag"),
        ("ps3.15-e.1-1.csv", "00001001,", "00001000,", "656 different attributes in 657 rows"),
        ("types.csv", "File-set ID,,*,2", "File-set ID,,*,4", "types.csv line [0-9]+: '4'"),
        ("keep.csv", "device,SCT|", "device,(SCT|", "not a regular expression"),
        ("keep.csv", "00080070,Manufacturer,device", "00080070,Manufacturer,any", "by a check only"),
        (
            "keep.csv",
            "00080070,Manufacturer,device,",
            "00080070,Manufacturer,pattern,",
            "check pattern needs a pattern",
        ),
        ("keep.csv", "00080070,Manufacturer,device", "00080070,Manufacturer,maker", "'maker' is none of"),
        ("unlisted-by-vr.csv", "PN,remove,", "PN,forget,", "'forget' is none of"),
        ("identifiers.csv", "Patient ID,id", "Patient ID", "as many cells"),
    ],
)
def test_a_damaged_table_is_named_with_its_line(copy, file, old, new, complaint):
    text = (copy / file).read_text(encoding="utf-8")
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=complaint) as caught:
        load_tables(copy)
    assert file in str(caught.value)


def test_a_changed_table_changes_the_digest(copy):
    before = load_tables(copy).digest
    assert before == load_tables(FOLDER).digest
    with (copy / "terms.txt").open("a", encoding="utf-8") as terms:
        terms.write("ONEMORE\n")
    assert load_tables(copy).digest != before
