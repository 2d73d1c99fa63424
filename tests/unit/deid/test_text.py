"""Planted print is found, on seven kinds of background; pictures without print stay as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gateway.deid.pixels import PixelMasker
from gateway.deid.policy import load_policy
from gateway.deid.text import TextDetector
from tests.support import deid
from tests.support.planted_text import BACKGROUNDS, background, plant

SIZES = ((512, 512), (224, 224), (768, 1024))


@pytest.fixture(scope="module")
def masker():
    return PixelMasker(load_policy(deid.POLICY)[0].pixels)


def _share_covered(masker, planted) -> float:
    picture = planted.picture
    (frame,) = masker.mask(deid.image(frames=[picture])).frames
    left, top, right, bottom = planted.box
    before, after = picture[top:bottom, left:right], frame[top:bottom, left:right]
    return float(((after == 0) | (before == 0)).mean())


@pytest.mark.parametrize("kind", sorted(BACKGROUNDS))
def test_planted_lines_are_covered(masker, kind):
    tried, missed = 0, []
    for seed in range(8):
        size = SIZES[seed % 3]
        height = (9, 11, 14, 20, 30)[seed % 5]  # pixels in a view 320 wide
        planted = plant(kind, seed, size, round(height * max(size) / 320))
        if planted is None:
            continue
        tried += 1
        if (share := _share_covered(masker, planted)) < 0.9:
            missed.append((seed, planted.text, planted.vertical, planted.height, round(share, 2)))
    assert tried >= 6
    assert missed == []


def test_vertical_print_is_covered(masker):
    lines = [planted for seed in range(40) if (planted := plant("ct", seed, (512, 512), 22)) and planted.vertical]
    assert len(lines) >= 4
    assert [line.text for line in lines[:6] if _share_covered(masker, line) < 0.9] == []


@pytest.mark.parametrize("kind", sorted(BACKGROUNDS))
def test_a_picture_without_print_is_not_touched(masker, kind):
    for seed, size in enumerate(SIZES):
        picture = background(kind, seed, size)
        masked = masker.mask(deid.image(frames=[picture]))
        assert masked.regions == 0
        assert masked.frames[0] is picture


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (7, 300, 3), (2000, 31)])
def test_any_shape_of_frame_can_be_looked_at(shape):
    assert TextDetector().regions(np.zeros(shape, np.uint8), 384, 320) == []


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
from tests.support.planted_text import plant
planted = plant("ct", 1, (512, 512), 20)
print(len(TextDetector().regions(planted.picture, 384, 320)))
"""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert int(done.stdout) >= 1
    assert done.stderr == ""
