"""Print of two to three times the contrast of the grain it stands on is found; grain alone is none."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.deid.grain import grain, lines
from gateway.deid.look import Look
from gateway.deid.policy import load_policy
from gateway.embedded.phantom import head
from tests.support import deid
from tests.support.planted_text import BACKGROUNDS, background, plant

POLICY = load_policy(deid.POLICY)[0].pixels
QUIET = sorted(set(BACKGROUNDS) - {"noise"})


@pytest.fixture(scope="module")
def look():
    return Look()


def _covered(look, planted) -> float:
    cover, _ = look.cover([planted.picture], POLICY.whole.high, POLICY.pad)
    left, top, right, bottom = planted.box
    return 0.0 if cover is None else float(cover[top:bottom, left:right].mean())


@pytest.mark.parametrize("height", [9, 10, 11, 12, 16, 20])
@pytest.mark.parametrize("vertical", [False, True], ids=["lying", "standing"])
def test_drowned_lines_are_covered(look, height, vertical):
    for seed in (0, 1):
        number = seed * 10_000 + height * 100 + vertical * 10 + seed
        line = plant("noise", number, (512, 512), height, vertical=vertical, contrast="faint", inverse=seed == 1)
        assert line is not None
        assert line.clearness < 3.5
        assert _covered(look, line) >= 0.9, (seed, line.text, line.font, line.clearness)


def test_lines_in_grain_are_told_by_its_energy_and_grain_alone_has_none():
    line = plant("noise", 10_900, (512, 512), 9, vertical=False, contrast="faint")
    assert line is not None
    noise = grain(line.picture)
    assert noise is not None
    (rows, columns), *more = lines(line.picture, noise)
    assert more == []
    left, top, right, bottom = line.box
    assert rows.start <= top + 1
    assert rows.stop >= bottom - 1
    assert columns.start <= left + 2
    assert columns.stop >= right - 2
    for seed in range(8):
        empty = background("noise", seed, (512, 512))
        noise = grain(empty)
        assert noise is not None
        assert lines(empty, noise) == []


def test_grain_is_measured_in_grey_levels():
    picture = np.clip(np.random.default_rng(1).normal(128, 20, (300, 400)), 0, 255).astype(np.uint8)
    noise = grain(picture)
    assert noise is not None
    assert noise.shape == picture.shape
    assert 16 < float(np.median(noise)) < 20.5  # the least of a neighbourhood is taken
    colour = grain(np.repeat(picture[:, :, None], 3, 2))
    assert colour is not None
    assert np.allclose(colour, noise, atol=1)


@pytest.mark.parametrize("kind", QUIET)
def test_quiet_pictures_have_none(kind):
    assert grain(background(kind, 3, (512, 512))) is None


def test_a_line_of_print_is_no_grain():
    for height in (9, 32):
        line = plant("gradient", height, (512, 512), height)
        assert line is not None
        assert grain(line.picture) is None


def test_anatomy_in_grain_is_no_print(look):
    for seed, size in enumerate((256, 512)):
        noise = np.random.default_rng(seed).normal(0, 18, (size, size))
        picture = np.clip(np.rint(head(size) * 200 + noise + 20), 0, 255).astype(np.uint8)
        assert look.cover([picture], POLICY.whole.high, POLICY.pad) == (None, 0)


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (1, 400), (400, 1), (7, 300, 3), (40, 40, 2)])
def test_any_shape_has_a_grain(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    noise = grain(picture)
    assert noise is None or (noise.shape == shape[:2] and lines(picture, noise) == [])
