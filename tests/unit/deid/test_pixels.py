"""Frames, masks, the share cap, and what happens when the detector fails."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.deid.look import Look
from gateway.deid.pixels import PixelMasker
from gateway.deid.policy import load_policy
from gateway.deid.text import TextRegion
from gateway.errors import NotSanitizable, Unreadable
from tests.support import deid
from tests.support.planted_text import plant

POLICY = load_policy(deid.POLICY)[0].pixels


def _line(seed: int = 1):
    planted = plant("ct", seed, (256, 256), 14)
    assert planted is not None
    return planted.picture


def test_equal_frames_are_looked_at_once_and_all_are_masked():
    picture = _line()
    masked = PixelMasker(POLICY, Look()).mask(
        deid.image(frames=[picture, picture.copy(), np.zeros((256, 256), np.uint8), picture])
    )
    assert masked.looked_at == 2
    first, second, dark, last = masked.frames
    assert (first == second).all()
    assert (first == last).all()
    assert not dark.any()
    assert (first != picture).any()
    assert 0 < masked.share < POLICY.share_cap
    assert masked.seconds > 0


def test_the_frame_that_came_is_not_changed():
    picture = _line()
    before = picture.copy()
    PixelMasker(POLICY, Look()).mask(deid.image(frames=[picture]))
    assert (picture == before).all()


def test_over_the_share_cap_the_image_is_refused():
    page = np.zeros((512, 512), np.uint8)
    for row in range(8, 480, 48):
        planted = plant("gradient", row, (512, 512), 24)
        assert planted is not None
        left, top, right, bottom = planted.box
        page[row : row + bottom - top, : right - left] = (
            planted.picture[top:bottom, left:right] if not planted.vertical else 0
        )
    tight = POLICY.model_copy(update={"share_cap": 0.05})
    with pytest.raises(NotSanitizable, match="5%"):
        PixelMasker(tight, Look()).mask(deid.image(frames=[page]))
    assert (
        PixelMasker(POLICY.model_copy(update={"share_cap": 1.0}), Look()).mask(deid.image(frames=[page])).share > 0.05
    )


def test_a_detector_that_fails_refuses_the_image(tmp_path, monkeypatch):
    # The weights are looked for where the package says it is: somewhere without weights.
    package = tmp_path / "rapidocr"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "rapidocr", raising=False)
    with pytest.raises(NotSanitizable, match="detector failed"):
        PixelMasker(POLICY, Look()).mask(deid.image(frames=[_line()]))


def test_an_unreadable_frame_stays_unreadable():
    def render(_: int):
        raise Unreadable("frame 2 cannot be decoded")

    broken = deid.image()
    object.__setattr__(broken, "render", render)
    with pytest.raises(Unreadable):
        PixelMasker(POLICY, Look()).mask(broken)


def test_without_a_look_nothing_is_looked_at_or_claimed(tmp_path):
    engine = deid.engine(folder=tmp_path)
    picture = _line()
    out = engine.deidentify(deid.image(deid.header(), [picture]), tenant="a")
    assert out.frames[0] is picture
    assert out.report.methods == ("113100",)
    assert "BurnedInAnnotation" not in out.dataset


def test_burned_in_no_is_claimed_only_if_every_frame_was_looked_at():
    engine = deid.engine(look=True)
    ds = deid.header()
    ds.BurnedInAnnotation = "YES"
    whole = engine.deidentify(deid.image(ds), tenant="a")
    part = engine.deidentify(deid.image(ds, total=9), tenant="a")
    assert whole.dataset.BurnedInAnnotation == "NO"
    assert "BurnedInAnnotation" not in part.dataset
    assert whole.report.methods == part.report.methods == ("113100", "113101")


def test_a_region_grows_by_the_pad_on_every_side():
    region = TextRegion((50.0, 20.0), (40.0, 10.0), 0.0, 0.9)
    corners = region.corners(3)
    assert corners.min(0).tolist() == [27, 12]
    assert corners.max(0).tolist() == [73, 28]
