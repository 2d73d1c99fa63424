"""Private attributes that may stay: by creator, in the same data set, of the right kind (PS3.15 E.3.10)."""

from __future__ import annotations

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from tests.support import deid

GE, SIEMENS = "GEMS_ACQU_01", "SIEMENS MR HEADER"


@pytest.fixture
def kept(tmp_path):
    """Private tags that are left under the Retain Safe Private Option, with their values."""

    def clean(ds, *options):
        engine = deid.engine_with(tmp_path, "113111", *options)
        target = engine.deidentify(deid.image(ds), tenant="a").dataset
        return {int(element.tag): element.value for element in target.iterall() if element.tag.is_private}

    return clean


def with_private(*elements: tuple[int, str, object], into: Dataset | None = None) -> Dataset:
    ds = into if into is not None else deid.header()
    for tag, vr, value in elements:
        ds[Tag(tag)] = DataElement(Tag(tag), vr, value)
    return ds


def test_a_listed_attribute_stays_with_its_creator(kept):
    assert kept(with_private((0x00190010, "LO", GE), (0x00191023, "DS", "29.3"))) == {0x00190010: GE, 0x00191023: 29.3}


def test_a_block_anywhere_counts(kept):
    found = kept(with_private((0x001900FF, "LO", GE), (0x0019FF23, "DS", "29.3")))
    assert set(found) == {0x001900FF, 0x0019FF23}


@pytest.mark.parametrize(
    "elements",
    [
        [(0x00191023, "DS", "29.3")],  # no creator
        [(0x00190010, "LO", "GEMS_ACQU_02"), (0x00191023, "DS", "29.3")],  # another creator
        [(0x00190010, "LO", GE), (0x00191024, "LO", "Erika")],  # listed, but as a number
        [(0x00190010, "LO", GE), (0x00191023, "UN", b"Erika Testmann")],
        [(0x00190010, "LO", GE), (0x00191025, "DS", "1")],  # not listed
        [(0x00190010, "LO", [GE, "x"]), (0x00191023, "DS", "29.3")],  # two creators
        [(0x00190011, "LO", GE), (0x00191023, "DS", "29.3")],  # another block
        [(0x7FD10010, "LO", "SIEMENS Ultrasound SC2000"), (0x7FD11001, "OB", b"a picture")],  # opaque
        [(0x00190010, "LO", GE)],  # a reservation of nothing
    ],
)
def test_nothing_else_stays(kept, elements):
    assert kept(with_private(*elements)) == {}


def test_a_creator_of_the_data_set_above_reserves_nothing_below(kept):
    inner = with_private((0x00191023, "DS", "29.3"), into=Dataset())
    ds = with_private((0x00190010, "LO", GE))
    ds.SharedFunctionalGroupsSequence = Sequence([inner])
    assert kept(ds) == {}


def test_a_creator_below_reserves_below(kept):
    inner = with_private((0x00190010, "LO", GE), (0x00191023, "DS", "29.3"), into=Dataset())
    ds = deid.header()
    ds.SharedFunctionalGroupsSequence = Sequence([inner])
    assert set(kept(ds)) == {0x00190010, 0x00191023}


def test_text_stays_where_it_is_technical_only(kept):
    technical = [(0x00190010, "LO", GE), (0x0019109E, "LO", "efgre3d")]
    assert 0x0019109E in kept(with_private(*technical))
    assert kept(with_private((0x00190010, "LO", GE), (0x0019109E, "LO", "Testmann^Erika"))) == {}


def test_uids_are_new_unless_uids_are_kept(kept):
    elements = [(0x00990010, "LO", "NQHeader"), (0x00991002, "UI", "1.2.3.4.77")]
    assert kept(with_private(*elements))[0x00991002].startswith("2.25.")
    assert kept(with_private(*elements), "113110")[0x00991002] == "1.2.3.4.77"


def test_without_the_option_all_go(tmp_path):
    ds = with_private((0x00190010, "LO", GE), (0x00191023, "DS", "29.3"))
    target = deid.engine_with(tmp_path).deidentify(deid.image(ds), tenant="a").dataset
    assert not any(element.tag.is_private for element in target)
