"""JPEG and PNG given back: no metadata, no print, and no loss where nothing is masked."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from gateway.ingest.decode import decode_object
from gateway.ingest.upload import MediaType, Upload
from gateway.settings import IngestSettings
from tests.support import deid
from tests.support.stored_pixels import ink, picture

SECRET = "Zauberwald Annegret"


@pytest.fixture(scope="module")
def engine():
    return deid.engine(look=True)


def _clean(engine, data):
    return engine.deidentify_object(decode_object(Upload(data), IngestSettings()), tenant="a")


def _png(array, **options):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", SECRET)
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG", pnginfo=info, **options)
    return out.getvalue()


def _jpeg(array, *, turned=1):
    image = Image.fromarray(array)
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = SECRET, turned
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90, exif=exif, comment=SECRET.encode())
    return out.getvalue() + SECRET.encode()


def _read(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    "array",
    [
        picture(),
        picture().astype(np.uint16) * 200,
        np.dstack([picture()] * 3),
        np.dstack([picture(), picture(), picture(), np.full(picture().shape, 255, np.uint8)]),
    ],
    ids=["grey 8", "grey 16", "colour", "with alpha"],
)
def test_a_png_comes_back_as_a_png_without_the_line(engine, array):
    out = _clean(engine, _png(array))
    after = _read(out.data)
    assert out.media_type == MediaType.PNG
    assert SECRET.encode() not in out.data
    before = array[..., :3] if array.ndim == 3 else array
    assert after.shape == before.shape
    assert not after[ink()].any()
    same = (after == before).reshape(*before.shape[:2], -1).all(2)
    assert not after[~same].any()
    assert (~same).mean() < 0.2
    assert (out.report.frames_masked, out.report.recoded) == (1, "")
    assert out.report.actions == {"metadata": 1}


def test_a_png_without_print_keeps_every_pixel(engine):
    array = picture(line="").astype(np.uint16) * 200
    out = _clean(engine, _png(array))
    assert np.array_equal(_read(out.data), array)
    assert out.report.frames_masked == 0


def test_what_is_transparent_does_not_hide_anything(engine):
    alpha = np.where(ink(), 0, 255).astype(np.uint8)
    data = _png(np.dstack([picture(), picture(), picture(), alpha]))
    out = _clean(engine, data)
    assert not _read(out.data)[ink()].any()
    assert Image.open(io.BytesIO(out.data)).mode == "RGB"


@pytest.mark.parametrize("array", [picture(line=""), np.dstack([picture(line="")] * 3)], ids=["grey", "colour"])
def test_a_jpeg_without_print_keeps_its_scan_and_loses_its_metadata(engine, array):
    data = _jpeg(array)
    out = _clean(engine, data)
    assert out.media_type == MediaType.JPEG
    assert SECRET.encode() not in out.data
    assert b"Exif" not in out.data
    assert np.array_equal(_read(out.data), _read(data))
    assert out.data in data or out.data[-500:] in data
    assert (out.report.frames_masked, out.report.recoded) == (0, "")


def test_a_jpeg_with_print_comes_back_as_a_png(engine):
    data = _jpeg(picture())
    out = _clean(engine, data)
    before, after = _read(data), _read(out.data)
    assert out.media_type == MediaType.PNG
    assert not after[ink()].any()
    assert not after[after != before].any()
    assert out.report.recoded == "PNG"


def test_a_jpeg_that_lies_turned_is_set_upright(engine):
    data = _jpeg(picture(line=""), turned=6)
    out = _clean(engine, data)
    assert out.media_type == MediaType.PNG
    assert np.array_equal(_read(out.data), np.rot90(_read(data), 3))


def test_the_same_raster_gives_the_same_bytes(engine):
    data = _png(picture())
    assert _clean(engine, data).data == _clean(engine, data).data
