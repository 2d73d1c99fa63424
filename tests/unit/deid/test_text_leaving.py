"""No line that a recogniser reads in the tensor that leaves is missed by the shipped policy's looks."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import pytest

from gateway.deid.reading import Reader
from gateway.models.spec import InputSpec
from tests.support import deid
from tests.support.planted_text import BACKGROUNDS, plant
from tests.support.tensor_reading import share_read, unmasked

READABLE = 0.5
SIZES = ((512, 512), (768, 1024), (320, 320))
HEIGHTS = (5, 10)  # of a capital, in the tensor
DETECTOR = InputSpec(640, 640, "letterbox")
LARGE = (("film", 2003, True), ("ct", 2002, False), ("mr", 2001, True))


@pytest.fixture(scope="module")
def reader():
    return Reader()


@lru_cache(maxsize=1)
def _engine():
    return deid.engine(look=True)


@pytest.mark.parametrize("kind", sorted(BACKGROUNDS))
def test_what_can_be_read_in_the_tensor_is_masked(reader, kind):
    """In the unmasked tensor nearly every line can be read; in the masked one none can."""
    readable, left = 0, []
    for number, (height, vertical) in enumerate(product(HEIGHTS, (False, True))):
        size = SIZES[number % 3]
        tall = round(height * max(size) / 224)
        line = plant(kind, number, size, tall, vertical=vertical, inverse=number % 2 == 1)
        if line is None or share_read(unmasked(line.picture), line, reader) < READABLE:
            continue
        readable += 1
        masked = _engine().deidentify(deid.image(frames=[line.picture]), tenant="a")
        if (share := share_read(masked, line, reader)) >= READABLE:
            left.append((line.text, line.font, line.vertical, tall, size, round(share, 2)))
    assert readable >= 3
    assert left == []


@pytest.mark.parametrize(("kind", "seed", "vertical"), LARGE)
def test_what_can_be_read_in_a_detectors_tensor_is_masked(reader, kind, seed, vertical):
    """It is 640 pixels wide, so smaller print can be read in it than in a classifier's: the look is closer."""
    line = plant(kind, seed, (1400, 1100), 10, vertical=vertical)
    assert line is not None
    assert share_read(unmasked(line.picture), line, reader, DETECTOR) >= READABLE
    image = deid.image(frames=[line.picture])
    masked = _engine().deidentify(image, tenant="a", leaves=DETECTOR.longer_side)
    assert share_read(masked, line, reader, DETECTOR) < READABLE
    if kind == "film":  # a look for a classifier leaves it: 224 pixels would not show it
        assert share_read(_engine().deidentify(image, tenant="a"), line, reader, DETECTOR) >= READABLE


def test_a_line_drowned_in_the_grain_of_a_small_frame_is_masked(reader):
    """The look enlarges it, which makes its grain soft: so grain is looked for before."""
    line = plant("noise", 411, (320, 320), 6, vertical=True, contrast="faint", inverse=True)
    assert line is not None
    assert share_read(unmasked(line.picture), line, reader) >= READABLE
    masked = _engine().deidentify(deid.image(frames=[line.picture]), tenant="a")
    assert share_read(masked, line, reader) < READABLE


def test_the_recogniser_reads_what_was_written(reader):
    """The proof above rests on it: a line at its place is read, another text is not taken for it."""
    line = plant("gradient", 1, (512, 512), 20, text="NOWAK KATARZYNA")
    assert line is not None
    assert share_read(unmasked(line.picture), line, reader) == 1
    other = plant("gradient", 1, (512, 512), 20, text="19620304 ID 558")
    assert other is not None
    assert share_read(unmasked(other.picture), line, reader) < READABLE


def test_a_line_that_moves_is_masked_in_every_frame():
    lines = [plant("us", 40, (400, 500), 14, vertical=False, text="DOE^JOHN 551")]
    lines += [plant("us", 40 + step, (400, 500), 14, vertical=False, text="DOE^JOHN 551") for step in range(1, 4)]
    frames = [line.picture for line in lines if line is not None]
    assert len({line.box for line in lines if line is not None}) == len(frames) == 4
    masked = _engine().deidentify(deid.image(frames=frames), tenant="a")
    assert masked.report.frames_looked_at == 4
    for line, frame in zip(lines, masked.frames, strict=True):
        left, top, right, bottom = line.box
        before = line.picture[top:bottom, left:right]
        assert ((frame[top:bottom, left:right] == 0) | (before == 0)).mean() >= 0.9
