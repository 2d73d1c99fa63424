"""Print in the stored values of whole objects, in every form that pixels come in: it goes, and nothing else does."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pydicom
import pytest

from gateway.deid.look import Look
from gateway.deid.regions import TextRegion
from gateway.errors import NotSanitizable
from gateway.ingest.decode import decode_object
from gateway.ingest.upload import Upload
from gateway.settings import IngestSettings
from tests.support import deid
from tests.support.stored_pixels import (
    BIG_ENDIAN,
    BOX,
    DEFLATED,
    DEFLATED_FRAME,
    IMPLICIT,
    JPEG,
    JPEG_12,
    JPEG_2000,
    JPEG_2000_LOSSY,
    JPEG_LOSSLESS,
    JPEG_LS,
    NEAR,
    RLE,
    Form,
    file,
    ink,
    picture,
    stored,
)

LIMITS = IngestSettings(max_frames=64)
LOOK = Look()
SIXTEEN = {"bits": 16, "allocated": 16}
TWELVE = {"bits": 12, "allocated": 16}

NATIVE = [
    Form("grey 8", 0),
    Form("grey 12 of 16", 0, **TWELVE),
    Form("grey 16, implicit", 0, **SIXTEEN, syntax=IMPLICIT, becomes=IMPLICIT),
    Form("grey 16, deflated", 0, **SIXTEEN, syntax=DEFLATED, becomes=DEFLATED),
    Form("grey 16, big endian", 0, **SIXTEEN, syntax=BIG_ENDIAN),
    Form("grey 8, big endian", 0, syntax=BIG_ENDIAN),
    Form("grey 32", 0, bits=32, allocated=32),
    Form("signed 8", -128, signed=True),
    Form("signed 12 of 16", -2048, **TWELVE, signed=True),
    Form("signed 16", -32768, **SIXTEEN, signed=True),
    Form("signed 16, padding", -32000, **SIXTEEN, signed=True, more={"PixelPaddingValue": -32000}),
    Form("signed 16, rescaled", -32768, **SIXTEEN, signed=True, more={"RescaleSlope": 2, "RescaleIntercept": -5}),
    Form("signed 16, falling", 32767, **SIXTEEN, signed=True, more={"RescaleSlope": -1, "RescaleIntercept": 0}),
    Form("inverse 8", 255, photometric="MONOCHROME1"),
    Form("inverse 12 of 16", 4095, photometric="MONOCHROME1", **TWELVE),
    Form("inverse signed 16", 32767, photometric="MONOCHROME1", **SIXTEEN, signed=True),
    Form("rgb", (0, 0, 0), photometric="RGB"),
    Form("rgb, by plane", (0, 0, 0), photometric="RGB", planar=1),
    Form("rgb 16", (0, 0, 0), photometric="RGB", **SIXTEEN),
    Form("ybr", (0, 128, 128), photometric="YBR_FULL"),
    Form("ybr, by plane", (0, 128, 128), photometric="YBR_FULL", planar=1),
    Form("ybr 422", (0, 128, 128), photometric="YBR_FULL_422"),
    Form("palette", 255, photometric="PALETTE COLOR"),
    Form("single bits", 0, bits=1, allocated=1),
    Form("float", None, keyword="FloatPixelData", bits=32, allocated=32),
    Form("double", None, keyword="DoubleFloatPixelData", bits=64, allocated=64),
]
COMPRESSED = [
    Form("rle 8", 0, syntax=RLE, becomes=RLE),
    Form("rle signed 16", -32768, **SIXTEEN, signed=True, syntax=RLE, becomes=RLE),
    Form("rle rgb", (0, 0, 0), photometric="RGB", syntax=RLE, becomes=RLE),
    Form("rle ybr", (0, 128, 128), photometric="YBR_FULL", syntax=RLE, becomes=RLE),
    Form("rle palette", 255, photometric="PALETTE COLOR", syntax=RLE, becomes=RLE),
    Form("jpeg-ls 8", 0, syntax=JPEG_LS, becomes=JPEG_LS),
    Form("jpeg-ls 12", 4095, photometric="MONOCHROME1", **TWELVE, syntax=JPEG_LS, becomes=JPEG_LS),
    Form("jpeg-ls rgb", (0, 0, 0), photometric="RGB", syntax=JPEG_LS, becomes=JPEG_LS),
    Form("jpeg-ls near", 0, syntax=NEAR),
    Form("jpeg 2000 8", 0, syntax=JPEG_2000, becomes=JPEG_2000),
    Form("jpeg 2000 signed 12", -2048, **TWELVE, signed=True, syntax=JPEG_2000, becomes=JPEG_2000),
    Form("jpeg 2000 rgb", (0, 0, 0), photometric="RGB", syntax=JPEG_2000, becomes=JPEG_2000),
    Form("jpeg 2000 lossy", 0, **SIXTEEN, syntax=JPEG_2000_LOSSY),
    Form("jpeg lossless 8", 0, syntax=JPEG_LOSSLESS, becomes=JPEG_LOSSLESS),
    Form("jpeg lossless signed 16", -32768, **SIXTEEN, signed=True, syntax=JPEG_LOSSLESS, becomes=JPEG_LOSSLESS),
    Form("jpeg lossless rgb", (0, 0, 0), photometric="RGB", syntax=JPEG_LOSSLESS, becomes=JPEG_LOSSLESS),
    Form("jpeg 8", 0, syntax=JPEG),
    Form("jpeg colour", (0, 0, 0), photometric="YBR_FULL_422", syntax=JPEG, after="RGB"),
    Form("jpeg 12", 0, **TWELVE, syntax=JPEG_12),
    Form("deflated frame", 0, **SIXTEEN, syntax=DEFLATED_FRAME, becomes=DEFLATED_FRAME),
    Form("deflated bits", 0, bits=1, allocated=1, syntax=DEFLATED_FRAME, becomes=DEFLATED_FRAME),
]
LOSSY = {JPEG, JPEG_12, NEAR, JPEG_2000_LOSSY}


@pytest.fixture(scope="module")
def engine():
    return deid.engine(look=True)


def _clean(engine, data, **limits):
    return engine.deidentify_object(decode_object(Upload(data), LIMITS.model_copy(update=limits)), tenant="a")


def _frames(data):
    found = decode_object(Upload(data), LIMITS)
    return [values for _, values, _ in found.pixels.decoded()]


def _seen(frame, box):
    """Whether the detector finds anything in a box of a rendering."""
    left, top, right, bottom = box
    return any(
        left < region.centre[0] < right and top < region.centre[1] < bottom for region in LOOK.regions(frame, 640)
    )


def _looks(data):
    """All renderings of all frames of a file: by its window, and at full range."""
    found = decode_object(Upload(data), LIMITS)
    for number, values, photometric in found.pixels.decoded():
        yield found.pixels.show(number, values, photometric)
        if (whole := found.pixels.show_all(number, values, photometric)) is not None:
            yield whole


@pytest.mark.parametrize("form", NATIVE + COMPRESSED, ids=lambda form: form.name)
def test_the_line_is_gone_and_all_else_is_as_it_was(engine, form):
    data = file(form, [stored(form, picture())])
    (before,) = _frames(data)
    out = _clean(engine, data)
    (after,) = _frames(out.data)
    ds = pydicom.dcmread(io.BytesIO(out.data))

    changed = before != after
    changed = changed.any(2) if changed.ndim == 3 else changed
    left, top, right, bottom = BOX
    black = before.min() if form.black is None else form.black
    assert (after[changed] == black).all()
    assert (after[ink()] == black).all()
    assert not changed[: top - 12].any()
    assert not changed[bottom + 12 :].any()
    assert not changed[:, : left - 16].any()
    assert not changed[:, right + 16 :].any()
    assert after.dtype.itemsize == before.dtype.itemsize
    assert not any(_seen(shown, BOX) for shown in _looks(out.data))

    if form.becomes not in (JPEG_LOSSLESS, DEFLATED_FRAME):  # pydicom has no permissively licensed decoder for them
        theirs = pydicom.pixels.pixel_array(ds, raw=True)
        assert theirs.shape == after.shape
        assert form.photometric == "YBR_FULL_422" or np.array_equal(theirs, after)
    assert ds.file_meta.TransferSyntaxUID == form.becomes
    assert ds.PhotometricInterpretation == (form.after or form.photometric)
    assert "SmallestImagePixelValue" not in ds
    assert "LargestImagePixelValue" not in ds
    assert ds.BurnedInAnnotation == "NO"
    assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID != "1.2.3.4.5"
    assert (ds.get("LossyImageCompression") == "01") == (form.syntax in LOSSY)
    assert ds.ImageType == ["ORIGINAL", "PRIMARY"]
    assert (out.report.frames_looked_at, out.report.frames_masked) == (1, 1)
    assert out.report.regions_masked > 0
    assert "113101" in out.report.methods


@pytest.mark.parametrize("form", [NATIVE[0], NATIVE[8], NATIVE[14]], ids=lambda form: form.name)
@pytest.mark.parametrize("dark", [False, True], ids=["light on dark", "dark on light"])
@pytest.mark.parametrize("vertical", [False, True], ids=["lying", "standing"])
def test_either_polarity_lying_or_standing(engine, form, dark, vertical):
    tones = picture(dark=dark, vertical=vertical, at=(14, 60) if vertical else BOX[:2])
    data = file(form, [stored(form, tones)])
    out = _clean(engine, data)
    assert out.report.frames_masked == 1
    assert not any(_seen(shown, (0, 0, 256, 192)) for shown in _looks(out.data))


def test_print_that_moves_is_masked_where_it_is_in_each_frame(engine):
    form = NATIVE[0]
    places = [(10, 10 + 16 * number) for number in range(8)]
    frames = [stored(form, picture(at=place)) for place in places]
    out = _clean(engine, file(form, frames))
    assert (out.report.frames_looked_at, out.report.frames_masked) == (8, 8)
    assert not any(_seen(shown, (0, 0, 256, 192)) for shown in _looks(out.data))
    for (left, top), before, after in zip(places, frames, _frames(out.data), strict=True):
        assert not after[ink(at=(left, top))].any()
        assert (before != after).mean() < 0.35


@pytest.mark.parametrize("form", [NATIVE[1], NATIVE[23], COMPRESSED[0]], ids=lambda form: form.name)
def test_a_frame_without_print_stays_as_it_is_and_equal_frames_are_looked_at_once(engine, form):
    plain = picture(line="")
    frames = [stored(form, tones) for tones in (plain, picture(), plain, picture(), plain, plain, plain, plain)]
    out = _clean(engine, file(form, frames))
    after = _frames(out.data)
    assert out.report.frames_looked_at == 2
    assert np.array_equal(after[1], after[3])
    assert (after[1] != frames[1]).any()
    assert all(np.array_equal(after[number], frames[number]) for number in (0, 2, 4, 5, 6, 7))


def test_what_stands_still_in_a_cine_is_masked_in_every_frame(engine):
    form = NATIVE[0]
    frames = [stored(form, picture()) + np.uint8(number) for number in range(6)]
    frames[3][:] = frames[3].mean(dtype=int)  # there the line is not to be seen, so it is not found
    out = _clean(engine, file(form, frames))
    assert not _frames(out.data)[3][ink()].any()


def test_print_outside_of_the_window_is_found(engine):
    form = Form("12", 0, **TWELVE, more={"WindowCenter": 200, "WindowWidth": 300})
    tones = picture(line="").astype(np.uint16) * 3
    line = picture().astype(int) - picture(line="") > 40
    hidden = np.where(line, tones + 2000, tones + 1000).astype(np.uint16)
    data = file(form, [hidden])
    first, whole = _looks(data)
    assert not _seen(first, BOX)
    assert _seen(whole, BOX)
    out = _clean(engine, data)
    assert not any(_seen(shown, BOX) for shown in _looks(out.data))


def _raw(data: bytes) -> np.ndarray:
    """Native samples of 16 bits as they stand in the file: decoders clear the bits above Bits Stored."""
    return np.frombuffer(pydicom.dcmread(io.BytesIO(data)).PixelData, "<u2")


def test_bits_above_bits_stored_are_cleared(engine):
    form = Form("12", 0, **TWELVE)
    values = stored(form, picture(line=""))
    data = file(form, [values | (stored(form, picture()) > 2500).astype(np.uint16) << 14])
    out = _clean(engine, data)
    assert np.array_equal(_frames(out.data)[0], values) or out.report.frames_masked
    assert not (_raw(out.data) >> 12).any()


def test_bits_above_bits_stored_are_cleared_where_nothing_is_masked(engine):
    form = Form("12", 0, **TWELVE)
    values = stored(form, picture(line=""))
    hidden = np.zeros_like(values)
    hidden[20:40, 30:90] = 1 << 14
    out = _clean(engine, file(form, [values | hidden]))
    assert out.report.frames_masked == 0
    assert np.array_equal(_raw(out.data), values.reshape(-1))


def test_over_the_share_cap_the_object_is_refused(engine):
    form = NATIVE[0]
    page = np.max([picture(at=(10, top)) for top in range(0, 180, 20)], axis=0)
    tight = deid.engine(look=True)
    tight._cleaner._surveyor._policy = tight.policy.pixels.model_copy(update={"share_cap": 0.05})
    with pytest.raises(NotSanitizable, match="5%"):
        _clean(tight, file(form, [stored(form, page)]))


@pytest.mark.parametrize("form", [NATIVE[0], COMPRESSED[0]], ids=lambda form: form.name)
def test_a_detector_that_never_stops_finding_print_refuses_the_object(monkeypatch, form):
    places = itertools.count(20, 15)
    monkeypatch.setattr(Look, "regions", lambda *_, **__: [TextRegion((next(places), 90.0), (12.0, 8.0), 0.0, 0.9)])
    with pytest.raises(NotSanitizable, match="masked several times"):
        _clean(deid.engine(look=True), file(form, [stored(form, picture(line=""))]))


def test_frames_that_are_not_masked_keep_their_compressed_bytes(engine):
    for form in (COMPRESSED[0], COMPRESSED[5], COMPRESSED[9], COMPRESSED[13]):
        data = file(form, [stored(form, picture(line=""))])
        out = _clean(engine, data)
        assert out.report.frames_masked == 0
        assert out.report.recoded == ""
        before, after = (decode_object(Upload(each), LIMITS).pixels for each in (data, out.data))
        assert after.source.syntax == before.source.syntax
        if form.syntax != JPEG_2000:  # its encoder's comment is overwritten
            assert next(after.encoded())[:-2] == next(before.encoded())[: len(next(after.encoded())) - 2]
        assert np.array_equal(_frames(data)[0], _frames(out.data)[0])


def test_comments_in_codestreams_do_not_go_on(engine):
    form = Form("jpeg", 0, syntax=JPEG)
    data = file(form, [stored(form, picture(line=""))])
    assert b"DOE^JOHN in a comment" in data
    out = _clean(engine, data)
    assert b"DOE^JOHN" not in out.data
    assert np.array_equal(_frames(data)[0], _frames(out.data)[0])
