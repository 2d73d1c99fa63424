"""A line that runs into a rough ground is found to its end."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.deid.endings import endings
from gateway.deid.regions import TextRegion
from gateway.deid.text import TextDetector
from tests.support.planted_text import plant


@pytest.fixture(scope="module")
def detector():
    return TextDetector()


LINE = TextRegion((60.0, 50.0), (80.0, 12.0), 0.0, 1.0)


def _rough(*places: tuple[slice, slice]) -> np.ndarray:
    picture = np.full((100, 300), 60, np.uint8)
    for place in places:
        shape = picture[place].shape
        picture[place] = np.random.default_rng(0).integers(0, 200, shape)
    return picture


def test_an_end_on_a_plain_ground_is_an_end():
    assert list(endings([LINE], _rough(), None)) == []


def test_what_is_not_plain_beyond_an_end_is_looked_at():
    (ending,) = endings([LINE], _rough((slice(40, 60), slice(100, 140))), None)
    assert (ending.end, ending.forward, ending.stands) == (100, True, False)
    rows, columns = ending.place
    assert rows.start <= 44
    assert rows.stop >= 56
    assert columns.start < 100
    assert columns.stop > 140
    (before,) = endings([LINE], _rough((slice(40, 60), slice(0, 20))), None)
    assert not before.forward


def test_in_grain_no_end_is_looked_at():
    picture = _rough((slice(0, 100), slice(0, 300)))
    assert list(endings([LINE], picture, np.full(picture.shape, 50, np.float32))) == []


def test_another_line_beyond_an_end_is_no_more_of_it():
    other = TextRegion((140.0, 50.0), (70.0, 12.0), 0.0, 1.0)
    assert list(endings([LINE, other], _rough((slice(40, 60), slice(104, 170))), None)) == []


def test_blots_and_slanting_lines_have_no_ends():
    rough = _rough((slice(0, 100), slice(0, 300)))
    assert list(endings([TextRegion((60.0, 50.0), (14.0, 12.0), 0.0, 1.0)], rough, None)) == []
    assert list(endings([TextRegion((100.0, 50.0), (80.0, 12.0), 40.0, 1.0)], rough, None)) == []


@pytest.mark.parametrize("forward", [True, False])
def test_print_counts_up_to_the_first_gap(forward):
    ground = (slice(40, 60), slice(100, 200)) if forward else (slice(40, 60), slice(0, 20))
    (ending,) = (one for one in endings([LINE], _rough(ground), None) if one.forward == forward)
    _, columns = ending.place
    along = np.zeros(columns.stop - columns.start, np.float32)
    assert ending.more(along, 0.3) is None
    at = ending.end - columns.start
    along[at : at + 30] = along[max(0, at - 12) : at] = 0.9
    along[at + 50 : at + 60] = 0.9
    left, top, width, height = ending.more(along, 0.3)
    assert (left, width) == ((100, 30) if forward else (8, 12))
    assert top <= 50 <= top + height


def test_a_line_that_runs_into_speckle_is_covered(detector):
    line = plant("us", 14_11, (512, 512), 14, vertical=True, contrast="faint", inverse=True)
    assert line is not None
    cover = np.zeros(line.picture.shape, bool)
    for region in detector.regions(line.picture, 512):
        corners = region.corners(3)
        left, top, right, bottom = (*corners.min(0).astype(int), *corners.max(0).astype(int))
        cover[max(0, top) : bottom + 1, max(0, left) : right + 1] = True
    left, top, right, bottom = line.box
    assert cover[top:bottom, left:right].mean() >= 0.9
