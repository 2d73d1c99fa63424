"""Step 3: a large frame in RLE is painted segment by segment, to the values that it has when painted as a whole."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest

from gateway.deid import rle
from gateway.errors import Unreadable
from gateway.ingest.decode import decode_object
from gateway.ingest.guard import fence
from gateway.ingest.mask import Mask
from gateway.ingest.patch import Patch
from gateway.ingest.rle import decode
from gateway.ingest.upload import Upload
from gateway.settings import IngestSettings
from tests.support import deid
from tests.support.large_frames import header_of, noise
from tests.support.stored_pixels import RLE, Form, file, picture, stored

FORMS = [
    Form("grey 8", 0, syntax=RLE, becomes=RLE),
    Form("signed 16", -32768, bits=16, allocated=16, signed=True, syntax=RLE, becomes=RLE),
    Form("rgb", (0, 0, 0), photometric="RGB", syntax=RLE, becomes=RLE),
    Form("ybr", (0, 128, 128), photometric="YBR_FULL", syntax=RLE, becomes=RLE),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_it_is_what_a_small_frame_becomes(form, monkeypatch):
    data, engine, limits = file(form, [stored(form, picture())]), deid.engine(look=True), IngestSettings()
    expected = engine.deidentify_object(decode_object(Upload(data), limits), tenant="a")
    asked = []
    monkeypatch.setattr("gateway.deid.rewrite.LARGE", 0)
    monkeypatch.setattr(
        rle, "repainted", lambda *given, whole=rle.repainted: asked.append(1) or whole(*given)
    )  # that it is this way which is tested
    found = engine.deidentify_object(decode_object(Upload(data), limits), tenant="a")
    assert asked == [1]
    first, second = (pydicom.dcmread(io.BytesIO(done.data)) for done in (expected, found))
    assert np.array_equal(first.pixel_array, second.pixel_array)
    del first.PixelData, second.PixelData
    assert first == second
    assert found.report.frames_masked == 1


@pytest.mark.parametrize(
    ("kind", "shape", "value"), [("u1", (33, 65, 3), [1, 2, 3]), ("<i2", (31, 40), -300), ("<u2", (30, 41, 3), [9] * 3)]
)
def test_its_bytes_are_those_of_the_painted_frame(kind, shape, value):
    values = noise(kind, shape)
    patch = Patch(Mask.of(np.random.default_rng(2).random(shape[:2]) < 0.2), np.asarray(value, kind))
    painted = patch.onto(values, (slice(None), slice(None)))
    header = header_of(values, 8 * values.dtype.itemsize)
    length, pieces = rle.repainted(bytes(rle.encode(values)), header, patch)
    written = b"".join(pieces)
    assert written == rle.encode(painted)
    assert len(written) == length
    assert np.array_equal(decode(written, header), painted)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_one_that_breaks_off_is_refused(share):
    values = noise("u1", (40, 50, 3))
    frame = bytes(rle.encode(values))
    patch = Patch(Mask.of(np.zeros((40, 50), np.bool_)), np.zeros(3, np.uint8))
    with pytest.raises(Unreadable), fence("A frame cannot be read"):
        rle.repainted(frame[: int(share * len(frame))], header_of(values, 8), patch)
