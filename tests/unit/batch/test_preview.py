"""The dry run's table says what happens to each attribute, and nothing of its value."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from gateway.batch.changes import Changes
from gateway.batch.montage import as_text, fitted, outlined, rgb, side_by_side
from gateway.batch.preview import Change, Hidden, preview
from gateway.batch.work import Task
from gateway.settings import DeidSettings, IngestSettings
from tests.support.deid import KEY, POLICY
from tests.support.scans import scan

if TYPE_CHECKING:
    from pathlib import Path

import numpy as np


@pytest.fixture
def settings(tmp_path: Path) -> DeidSettings:
    policy = tmp_path / "header-only.yaml"
    text = POLICY.read_text(encoding="utf-8").replace("look: true", "look: false")
    policy.write_text(text.replace('options: ["113101"]', "options: []"), encoding="utf-8")
    return DeidSettings(key=KEY.decode(), policy=policy)


def changes_of(ds: Dataset, settings: DeidSettings) -> dict[tuple[str, str], tuple[str, str]]:
    """(tag, action) to what is shown of the value before and after."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    task = Task(buffer.getvalue(), "t", IngestSettings(), settings, os.getpid())
    lines = Changes()
    lines.add(preview(task).changes)
    return {(line.tag, line.action): (str(line.before), str(line.after)) for line in lines}


def test_every_action_is_told_with_kind_and_length(settings: DeidSettings) -> None:
    shown = changes_of(scan(1), settings)
    assert shown["(0010,0010)", "replaced"] == ("name 18", "name 24")
    assert shown["(0008,0018)", "uid"][0] == "UID 11"
    assert shown["(0008,0050)", "emptied"] == ("text 8", "empty")
    assert shown["(0028,0010)", "kept"] == ("number 1", "number 1")
    assert shown["(0028,0030)", "kept"] == ("number 2", "number 2")
    assert shown["(0012,0062)", "added"] == ("-", "code 3")


def test_what_stands_in_sequences_is_told_by_its_place(settings: DeidSettings) -> None:
    ds = scan(1)
    items = []
    for text in ("a", "bcd"):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "113014", "DCM", text * 3
        items.append(item)
    ds.AnatomicRegionSequence = Sequence(items)
    shown = changes_of(ds, settings)
    assert shown["(0008,2218)", "kept"] == ("sequence 2", "sequence 2")
    assert any(tag == "(0008,2218) (0008,0104)" for tag, _ in shown)


def test_numbers_that_the_sender_chose_are_not_repeated(settings: DeidSettings) -> None:
    ds = scan(1)
    block = ds.private_block(0x4A41, "Jane", create=True)
    block.add_new(0x4E, "LO", "Jane")
    ds.add_new(0x4A424E46, "LO", "Jane")
    shown = {tag for tag, _ in changes_of(ds, settings)}
    assert {"private", "unknown"} <= shown
    assert not any("4A4" in tag for tag in shown)


def test_files_are_counted_once_and_lengths_become_a_span() -> None:
    lines = Changes()
    for length in (3, 9):
        lines.add(
            Change((0x00100010,), "Patient's Name", "PN", "removed", Hidden("name", each), Hidden())
            for each in (length, length + 1)
        )
    (line,) = lines
    assert (line.files, str(line.before), str(line.after)) == (2, "name 3-10", "-")
    assert line.as_json()["tag"] == "(0010,0010)"


def test_a_box_is_outlined_and_what_is_in_it_stays_visible() -> None:
    picture = rgb(np.full((40, 60), 100, np.uint8))
    drawn = outlined(picture, [(10, 12, 20, 8)])
    assert (drawn[12:20, 10:30] == 100).all()
    assert drawn[11, 20].tolist() == drawn[20, 20].tolist() == drawn[15, 9].tolist() == drawn[15, 30].tolist()
    assert drawn[11, 20].tolist() != [100, 100, 100]
    assert (picture == 100).all()


def test_pictures_stand_side_by_side_and_fit_a_terminal() -> None:
    left, right = np.full((300, 400, 3), 10, np.uint8), np.full((300, 400, 3), 200, np.uint8)
    both = side_by_side(left, right)
    assert both.shape[0] == 300
    assert (both[:, :400] == 10).all()
    assert (both[:, -400:] == 200).all()
    small, boxes = fitted(left, [(0, 0, 400, 300), (399, 299, 1, 1)], columns=38, rows=10)
    assert small.shape[0] <= 20
    assert small.shape[1] <= 38
    assert boxes[0][2:] == (small.shape[1], small.shape[0])
    assert all(width and height for *_, width, height in boxes)
    assert as_text(small[:3]).plain.count("\n") == 2
