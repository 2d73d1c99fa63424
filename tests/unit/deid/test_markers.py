"""Markers that may be kept: only whole ones, only alone, only read with certainty."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.deid.markers import Markers, shipped
from gateway.deid.text import TextDetector
from tests.support.planted_text import background, draw


@pytest.mark.parametrize(
    "text",
    ["L", "R", "r", "AP", "PA", "LAT", "SUP", "120 kV", "120kV", "2.5 mAs", "0,5 mm", "35 cm", "FOV 240 mm",
     "Im: 12/128", "Frame 3 / 20", "MI 0.4", "40%", "W 400 L 40"],
)  # fmt: skip
def test_on_the_list(text):
    assert shipped().holds(text)


@pytest.mark.parametrize(
    "text",
    ["", "12", "12345 mm", "12/1984", "19840112", "DOE", "L. DOE", "LDOE", "AP DOE", "120 kV DOE", "63 Y", "kV",
     "1984-01-12", "#", "ID 120 kV", "M"],
)  # fmt: skip
def test_not_on_the_list(text):
    assert not shipped().holds(text)


def test_an_empty_list_holds_nothing():
    assert not Markers(["// nothing", ""]).holds("")


@pytest.fixture(scope="module")
def detector():
    return TextDetector()


def _written(*lines: tuple[str, int, int], height: int = 20) -> np.ndarray:
    """A film with lines on it; text, left, top."""
    picture = background("film", 3, (384, 512))
    for text, left, top in lines:
        ink = draw(np.random.default_rng(0), text, height, "freetype").astype(float) / 255
        window = picture[top : top + ink.shape[0], left : left + ink.shape[1]]
        window[...] = window * (1 - ink) + 250 * ink
    return picture


def _centres(regions) -> list[tuple[int, int]]:
    return [(round(region.centre[0]), round(region.centre[1])) for region in regions]


def test_markers_are_kept_and_names_are_not(detector):
    picture = _written(("LAT", 40, 40), ("120 kV", 380, 40), ("DOE, JOHN", 40, 300), ("35 cm", 380, 300))
    assert len(detector.regions(picture, 512)) == 4
    (name,) = _centres(detector.regions(picture, 512, keep=shipped()))
    assert abs(name[1] - 310) < 12
    assert name[0] < 200


def test_a_marker_beside_other_text_is_masked(detector):
    """What looks like a side can be an initial, what looks like a projection a surname."""
    picture = _written(("AP", 40, 100), ("NOWAK", 110, 100))
    assert len(detector.regions(picture, 512, keep=shipped())) == len(detector.regions(picture, 512)) >= 1


def test_what_cannot_be_read_with_certainty_is_masked(detector):
    picture = _written(("LAT", 40, 40), height=9)
    noise = np.random.default_rng(5).normal(0, 45, picture.shape)
    blurred = np.clip(picture + noise, 0, 255).astype(np.uint8)
    assert len(detector.regions(blurred, 512, keep=shipped())) == len(detector.regions(blurred, 512))
