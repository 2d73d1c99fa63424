"""Planted print is found, on seven kinds of background; pictures without print stay as they are.

``benchmarks/burned_in.py`` has the same lines by the thousand.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from gateway.deid.canvas import tiles
from gateway.deid.look import Look
from gateway.deid.pixels import PixelMasker
from gateway.deid.policy import load_policy
from gateway.deid.text import TextDetector
from gateway.embedded.phantom import burn_in, head
from tests.support import deid
from tests.support.planted_text import BACKGROUNDS, background, plant

SIZES = ((512, 512), (224, 224), (768, 1024))


@pytest.fixture(scope="module")
def detector():
    return TextDetector()


@pytest.fixture(scope="module")
def masker():
    return PixelMasker(load_policy(deid.POLICY)[0].pixels, Look())


def _share_covered(masker, planted) -> float:
    picture = planted.picture
    (frame,) = masker.mask(deid.image(frames=[picture])).frames
    left, top, right, bottom = planted.box
    before, after = picture[top:bottom, left:right], frame[top:bottom, left:right]
    return float(((after == 0) | (before == 0)).mean())


@pytest.mark.parametrize("kind", sorted(BACKGROUNDS))
def test_planted_lines_are_covered(masker, kind):
    """Heights are of the capitals, in the picture and in the policy's look of 512 pixels."""
    missed = []
    for seed, height in enumerate((9, 10, 12, 16, 24, 32)):
        size = SIZES[seed % 3]
        planted = plant(kind, seed, size, round(height * max(1, max(size) / 512)), inverse=seed % 2 == 1)
        assert planted is not None
        if (share := _share_covered(masker, planted)) < 0.9:
            missed.append((seed, planted.text, planted.font, planted.vertical, planted.height, round(share, 2)))
    assert missed == []


@pytest.mark.parametrize("kind", sorted(set(BACKGROUNDS) - {"noise", "us"}))
def test_faint_lines_are_covered(masker, kind):
    """40 to 60 grey levels off their ground, which is quiet."""
    for seed, height in enumerate((9, 12, 20)):
        planted = plant(kind, seed, (512, 512), height, contrast="faint", inverse=seed % 2 == 1)
        assert planted is not None
        assert _share_covered(masker, planted) >= 0.9, (seed, planted.text, planted.font, planted.vertical)


@pytest.mark.parametrize("kind", ["ct", "mr", "us", "noise"])
def test_vertical_print_is_covered(masker, kind):
    for seed, height in enumerate((9, 11, 14, 22, 32)):
        planted = plant(kind, seed, (512, 512), height, vertical=True)
        assert planted is not None
        assert _share_covered(masker, planted) >= 0.9, (seed, planted.text, planted.font)


def test_small_print_in_a_large_picture_is_found_in_tiles(detector):
    for seed, vertical in enumerate((False, True)):
        planted = plant("ct", seed, (1300, 1500), 9 + seed, vertical=vertical)
        assert planted is not None
        assert _covered(detector.regions(planted.picture, 1500), planted) >= 0.9


def test_print_that_is_large_in_a_tile_is_found_at_all_of_the_picture(detector):
    planted = plant("ct", 3, (1300, 1500), 180, vertical=False, text="NOWAK")
    assert planted is not None
    assert _covered(detector.regions(planted.picture, 1500), planted) >= 0.9


def _covered(regions, planted) -> float:
    cover = np.zeros(planted.picture.shape, np.uint8)
    for region in regions:
        cv2.fillPoly(cover, [np.rint(region.corners(3)).astype(np.int32)], 1)
    left, top, right, bottom = planted.box
    return float(cover[top:bottom, left:right].mean())


def test_a_further_look_at_the_turned_frame_gives_regions_of_the_frame(detector):
    planted = plant("gradient", 1, (400, 512), 14, vertical=True)
    assert planted is not None
    upright, both = (detector.regions(planted.picture, 512, turned) for turned in (None, 320))
    assert len(both) > len(upright) >= 1
    left, top, right, bottom = planted.box
    for region in both:
        corners = region.corners()
        assert corners.min(0).tolist() >= [left - 20, top - 20]
        assert (corners.max(0) <= [right + 20, bottom + 20]).all()


@pytest.mark.parametrize("kind", sorted(BACKGROUNDS))
def test_a_picture_without_print_is_not_touched(masker, kind):
    for seed, size in enumerate(SIZES):
        picture = background(kind, seed, size)
        masked = masker.mask(deid.image(frames=[picture]))
        assert masked.regions == 0
        assert masked.frames[0] is picture


@pytest.mark.parametrize(
    "shape", [(1, 1), (8, 8), (1, 400), (400, 1), (7, 300, 3), (2000, 31), (3, 9000), (1130, 1200), (60, 40, 3)]
)
@pytest.mark.parametrize("grey", [0, 255])
def test_any_shape_of_frame_can_be_looked_at(detector, shape, grey):
    for side in (512, max(shape)):
        assert detector.regions(np.full(shape, grey, np.uint8), side, 320) == []


def test_every_detector_finds_the_same(detector):
    planted = plant("us", 4, (300, 400), 12)
    assert planted is not None
    first, again, other = (one.regions(planted.picture, 512) for one in (detector, detector, TextDetector()))
    assert first == again == other != []


@pytest.mark.parametrize(
    ("height", "width"), [(512, 512), (1120, 1116), (1121, 1120), (2000, 2500), (90, 14000), (5000, 90)]
)
def test_tiles_cover_the_picture_and_overlap(height, width):
    cover = np.zeros((height, width), np.uint8)
    places = tiles(height, width)
    for rows, columns in places:
        cover[rows, columns] += 1
        assert (rows.stop - rows.start) * (columns.stop - columns.start) <= 1_254_400
    assert cover.min() == 1
    seams = [rows.start for rows, _ in places if rows.start]
    assert all((cover[start : start + 64] > 1).all() for start in seams)


def test_large_shapes_that_hold_no_letters_are_no_text(detector):
    """Blobs, rings and bars, as large as organs."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        picture = np.zeros((512, 512), np.uint8)
        for _ in range(3):
            centre, axes = rng.integers(120, 392, 2).tolist(), rng.integers(40, 140, 2).tolist()
            cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, int(rng.integers(90, 255)), -1)
            cv2.ellipse(picture, centre, [axis // 2 for axis in axes], 0, 0, 360, 20, -1)
        assert detector.regions(picture, 512) == []


@pytest.mark.parametrize("size", [256, 384, 512])
def test_the_ventricles_of_a_head_are_no_number_and_print_beside_them_is_found(detector, size):
    """They are a perfect 11, or two letters of other scripts."""
    for level, side in ((0.0, size), (0.05, 512)):
        picture = head(size, level=level)
        assert detector.regions(_tones(picture), side) == []
        found = detector.regions(_tones(burn_in(picture, [("EXAMPLE MARIA", 22), ("DOB 17.03.1961", 13)])), side)
        assert len(found) == 2
        assert all(region.centre[1] < 60 for region in found)


def _tones(picture) -> np.ndarray:
    return np.rint(picture * 255).astype(np.uint8)


def test_a_plain_bar_is_no_print(detector):
    """A mask is one."""
    for height, tone in ((9, 0), (14, 255), (25, 0), (32, 90)):
        picture = background("film", height, (300, 400))
        picture[60 : 60 + height, 38 : 38 + 6 * height] = tone
        assert detector.regions(picture, 512) == []


def test_large_print_is_still_found(detector):
    for text in ("NOWAK", "DOE", "IT 7"):
        planted = plant("gradient", 2, (512, 512), 100, vertical=False, text=text)
        assert planted is not None
        assert _covered(detector.regions(planted.picture, 512), planted) >= 0.9


def test_colour_print_on_colour_is_found(masker):
    planted = plant("gradient", 3, (512, 512), 20)
    assert planted is not None
    grey = planted.picture
    colour = np.stack([grey // 2, grey, grey // 3], axis=2)
    (frame,) = masker.mask(deid.image(frames=[colour])).frames
    left, top, right, bottom = planted.box
    assert (frame[top:bottom, left:right] == 0).all(axis=2).mean() >= 0.9


def test_the_detector_works_where_no_file_can_be_written_and_no_network_is():
    script = """
import socket
def refuse(*_): raise AssertionError("network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from gateway.isolation import harden
harden(3 * 2**30)
from gateway.deid.text import TextDetector
from gateway.embedded.phantom import burn_in, head
from tests.support.planted_text import plant
planted = plant("ct", 1, (512, 512), 20)
print(len(TextDetector().regions(planted.picture, 512)))
"""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert int(done.stdout) >= 1
    assert done.stderr == ""
