"""Print inside, above and below what a window shows is found in one look at a grey frame."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
import pytest

from gateway.deid.canvas import ONE_LOOK, Pair, both, planes, scaled
from gateway.deid.look import Look
from gateway.deid.policy import load_policy
from gateway.ingest.spread import spread
from tests.support import deid
from tests.support.planted_text import FONTS, background, draw, words

POLICY = load_policy(deid.POLICY)[0].pixels
WINDOW = (1000, 2020)
PLACES = {"inside": (0, 240), "above": (2500, 4095), "below": (500, 0)}
"""Stored values of the ground, and of the print on it; inside, the print is at the window's bright end."""


@pytest.fixture(scope="module")
def look():
    return Look()


def _shown(values: np.ndarray) -> np.ndarray:
    low, high = WINDOW
    return np.rint(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _frame(where: str, kind: str, number: int, height: int, *, vertical: bool):
    """Stored values of 12 bits, a line somewhere in them, and its box."""
    rng = np.random.default_rng([number, height])
    size = (400, 480)
    ink = draw(rng, words(rng)[:14].strip(), height, FONTS[number % 4])
    ink = np.ascontiguousarray(np.rot90(ink)) if vertical else ink
    top, left = (int(rng.integers(14, span - ink_span - 14)) for span, ink_span in zip(size, ink.shape, strict=True))
    values = WINDOW[0] + 4.0 * background(kind, number, size) + rng.uniform(0, 4, size)
    ground, print_ = PLACES[where]
    if where == "inside":
        print_ = WINDOW[0] + 4 * print_
    else:
        place = np.zeros(size, np.uint8)
        middle = (left + ink.shape[1] // 2, top + ink.shape[0] // 2)
        cv2.ellipse(place, middle, (ink.shape[1] + 30, ink.shape[0] + 30), 0, 0, 360, 1, -1)
        cloud = cv2.GaussianBlur(rng.normal(0, 1, size), (0, 0), 6) * 1200 + rng.normal(0, 20, size)
        values = np.where(place > 0, ground + np.clip(cloud, -200, 200), values)
    share = ink / 255.0
    below = values[top : top + ink.shape[0], left : left + ink.shape[1]]
    below[...] = below * (1 - share) + print_ * share
    box = (left, top, left + ink.shape[1], top + ink.shape[0])
    return np.rint(np.clip(values, 0, 4095)).astype(np.uint16), box


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", ["ct", "mr", "film"])
def test_print_of_any_stored_value_is_covered(look, where, kind):
    for number, (height, vertical) in enumerate(product((10, 18), (False, True))):
        values, box = _frame(where, kind, number, height, vertical=vertical)
        left, top, right, bottom = box
        shown = _shown(values)
        if where != "inside":
            assert np.ptp(shown[top:bottom, left:right]) == 0
        cover, _ = look.cover([both(shown, spread(values))], POLICY.whole.high, POLICY.pad)
        assert cover is not None
        assert cover[top:bottom, left:right].mean() >= 0.9, (number, height, vertical)


def test_one_look_is_made_at_both(monkeypatch):
    values, _ = _frame("above", "ct", 0, 14, vertical=False)
    look, shapes = Look(), []
    regions = look.regions
    monkeypatch.setattr(
        look,
        "regions",
        lambda picture, *more, **named: shapes.append(picture.shape) or regions(picture, *more, **named),
    )
    look.cover([both(_shown(values), spread(values))], POLICY.whole.high, POLICY.pad)
    assert shapes == [(400, 480, 2)]


def test_clipped_values_without_print_are_not_masked(look):
    """Metal and air, beyond the window on both sides."""
    for seed, kind in enumerate(("ct", "mr", "film", "gradient")):
        rng = np.random.default_rng(seed)
        values = WINDOW[0] + 4.0 * background(kind, seed, (400, 480)) + rng.uniform(0, 4, (400, 480))
        for middle, radius, ground in ((120, 40, 3000), (300, 60, 300)):
            place = np.zeros(values.shape, np.uint8)
            cv2.circle(place, (middle, 200), radius, 1, -1)
            values[place > 0] = ground + rng.normal(0, 60, int(place.sum()))
        stored = np.rint(np.clip(values, 0, 4095)).astype(np.uint16)
        assert look.cover([both(_shown(stored), spread(stored))], POLICY.whole.high, POLICY.pad) == (None, 0)


def test_the_first_rendering_has_two_of_the_networks_colours():
    first, second = np.full((2, 3), 1, np.uint8), np.full((2, 3), 2, np.uint8)
    assert planes(both(first, second))[:, 0, 0].tolist() == [1, 1, 128]  # plain: middle grey
    assert planes(first).shape == (1, 2, 3)
    colour = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(planes(colour), colour.transpose(2, 0, 1))


def test_a_large_frame_is_joined_piece_by_piece_and_its_print_is_covered(look):
    size = (1200, 1400)
    assert size[0] * size[1] > ONE_LOOK
    for where, number in (("inside", 1), ("above", 2)):
        values, (left, top, right, bottom) = _frame(where, "mr", number, 18, vertical=False)
        large = np.pad(values, ((500, 300), (700, 220)), mode="reflect", reflect_type="even")
        large[:500], large[900:], large[:, :700], large[:, 1180:] = 1200, 1200, 1200, 1200
        cover, _ = look.cover([Pair(_shown(large), spread(large))], POLICY.whole.high, POLICY.pad)
        assert cover is not None
        assert cover.shape == size
        assert cover[500 + top : 500 + bottom, 700 + left : 700 + right].mean() >= 0.9


def test_a_pair_is_both_of_its_parts():
    rng = np.random.default_rng(1)
    shown, every = (rng.integers(0, 256, (900, 1500), np.uint8) for _ in range(2))
    pair, place = Pair(shown, every), (slice(100, 300), slice(0, 700))
    assert pair.shape == both(shown, every).shape
    assert np.array_equal(pair[place], both(shown[place], every[place]))
    assert scaled(pair, 1500) is pair
    assert scaled(pair, 500)[:, :].shape == (300, 500, 2)
