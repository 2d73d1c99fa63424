"""A patch shows the same as a painted copy."""

import numpy as np
import pytest

from gateway.ingest.grey import Grey, Rescale, Window
from gateway.ingest.mask import Mask
from gateway.ingest.patch import Patch
from gateway.ingest.spread import spread


@pytest.mark.parametrize("kind", ["u1", "i1", "<u2", "<i2", ">u2", ">i2"])
@pytest.mark.parametrize("window", [None, Window(300, 500)])
def test_a_patched_frame_is_shown_as_a_painted_one(kind, window):
    roll = np.random.default_rng(1)
    stored = roll.integers(-100, 100, (1100, 1001)).astype(kind)
    cover = roll.random(stored.shape) < 0.1
    value = np.asarray(7).astype(kind)
    painted = stored.copy()
    painted[cover] = value
    grey = Grey(Rescale(2, -5), window, inverted=False, bits_stored=8 * stored.dtype.itemsize, padding=(0, 3))
    assert np.array_equal(grey.apply(stored, Patch(Mask.of(cover), value)), grey.apply(painted))
    assert np.array_equal(spread(stored, Patch(Mask.of(cover), value)), spread(painted))
