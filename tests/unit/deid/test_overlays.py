"""Overlay planes under the Clean Graphics Option: drawings stay, text in them goes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import yaml
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from gateway.deid.engine import DeidEngine
from gateway.deid.look import Look
from gateway.deid.overlays import OverlayCleaner
from gateway.deid.policy import load_policy
from tests.support import deid

SIDE = 512


@pytest.fixture(scope="module")
def cleaner():
    return OverlayCleaner(load_policy(deid.POLICY)[0].pixels, Look())


@pytest.fixture(scope="module")
def research(tmp_path_factory):
    """Clean Graphics and the look for text together."""
    document = yaml.safe_load(deid.POLICY.read_text(encoding="utf-8"))
    document["options"] = ["113101", "113103"]
    path = deid.POLICY.with_name(document["pixels"]["whole"]["templates"])
    folder = tmp_path_factory.mktemp("graphics")
    (folder / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "graphics.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return DeidEngine.load(folder / "graphics.yaml", deid.KEY)


def drawing(text: str = "") -> np.ndarray:
    plane = np.zeros((SIDE, SIDE), np.uint8)
    cv2.line(plane, (100, 300), (480, 490), 1, 2)
    if text:
        cv2.putText(plane, text, (30, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 1, 2)
    return plane


def overlaid(*planes: np.ndarray, group: int = 0x6000, tail: bytes = b"", **changed: object) -> Dataset:
    ds = deid.header()
    bits = np.stack(planes)
    values: dict[int, tuple[str, object]] = {
        0x0010: ("US", SIDE), 0x0011: ("US", SIDE), 0x0015: ("IS", str(len(planes))), 0x0040: ("CS", "G"),
        0x0050: ("SS", [1, 1]), 0x0100: ("US", 1), 0x0102: ("US", 0), 0x4000: ("LT", "circled by Testmann"),
        0x3000: ("OW", np.packbits(bits.reshape(-1), bitorder="little").tobytes() + tail),
    }  # fmt: skip
    for number, (vr, value) in values.items():
        tag = Tag(group << 16 | number)
        ds[tag] = DataElement(tag, vr, changed.get(f"x{number:04x}", value))
    return ds


def planes_of(ds: Dataset, count: int) -> np.ndarray:
    content = np.frombuffer(ds[0x60003000].value, np.uint8)
    return np.unpackbits(content, count=count * SIDE * SIDE, bitorder="little").reshape(count, SIDE, SIDE)


def test_text_goes_and_the_drawing_stays(cleaner):
    ds = overlaid(drawing("TESTMANN ERIKA 1961"), drawing())
    ((group, regions),) = cleaner.clean(ds._dict)
    assert group == 0x6000
    assert regions >= 1
    first, second = planes_of(ds, 2)
    assert not first[30:75, 20:400].any()
    np.testing.assert_array_equal(first[250:], drawing()[250:])
    np.testing.assert_array_equal(second, drawing())


def test_bytes_behind_the_last_plane_do_not_go_on(cleaner):
    ds = overlaid(drawing(), tail=b"Erika Testmann")
    cleaner.clean(ds._dict)
    assert b"Erika" not in ds[0x60003000].value
    assert len(ds[0x60003000].value) == SIDE * SIDE // 8


@pytest.mark.parametrize(
    "changed",
    [
        {"x3000": b"short"}, {"x0010": 0}, {"x0010": 65535}, {"x0100": 16}, {"x0102": 3}, {"x0015": "100000"},
        {"x0015": "0"},
    ],
)  # fmt: skip
def test_a_plane_that_cannot_be_understood_goes_with_its_group(cleaner, changed):
    ds = overlaid(drawing(), **changed)
    assert cleaner.clean(ds._dict) == [(0x6000, None)]
    assert not [tag for tag in ds.keys() if tag.group == 0x6000]  # noqa: SIM118 - a Dataset iterates its elements


def test_through_the_header_comments_are_cleaned_and_strays_go(research):
    ds = overlaid(drawing("TESTMANN"))
    inner = overlaid(drawing())
    ds.add(DataElement(Tag(0x60F03000), "OW", b"\1\2"))
    item = Dataset()
    for element in inner.group_dataset(0x6000):
        item.add(element)
    ds.SharedFunctionalGroupsSequence = [item]
    header = research._header.clean(ds, "a", pixels_clean=True, overlays=research._overlays)
    target = header.dataset
    assert "circled by" in target[0x60004000].value
    assert "Testmann" not in target[0x60004000].value
    assert not planes_of(target, 1)[0, 30:75, 20:300].any()
    assert Tag(0x60F03000) not in target
    assert len(target.SharedFunctionalGroupsSequence[0]) == 0
    assert header.actions["cleaned"] >= 2
    assert header.actions["overlay"] >= 9


def test_what_goes_to_a_model_has_no_planes(research):
    target = research.deidentify(deid.image(overlaid(drawing())), tenant="a").dataset
    assert not [tag for tag in target.keys() if tag.group == 0x6000]  # noqa: SIM118 - as above
