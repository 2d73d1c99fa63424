"""Step 2: JPEG and PNG come out upright, 8-bit and bare; a size is checked before it is believed."""

import struct
import tracemalloc
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from gateway.errors import ImageTooLarge, InvalidParameter, Unreadable, UnsafeFile, UnsupportedMediaType
from gateway.ingest.decode import decode
from gateway.ingest.frames import FrameSelection
from gateway.ingest.image import IdentifiableImage
from gateway.ingest.raster import DRAFT_LONG_SIDE
from gateway.ingest.segments import MAX_SCANS, MAX_SEGMENTS, metadata_segments
from gateway.ingest.upload import MediaType, Upload
from gateway.settings import IngestSettings
from tests.support.dicom_files import shown

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    out = BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(out, kind, **options)
    return out.getvalue()


def read(data: bytes, declared: str | None = None, **limits: int) -> IdentifiableImage:
    return decode(Upload(data, declared), FrameSelection(), IngestSettings(**limits))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def ihdr(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0))


def test_a_grey_and_a_colour_png_come_out_as_they_are() -> None:
    assert np.array_equal(shown(encoded(GREY))[0], GREY)
    assert np.array_equal(shown(encoded(COLOUR))[0], COLOUR)


def test_a_raster_is_one_frame_without_header_or_modality() -> None:
    image = read(encoded(GREY), "image/png")
    assert (image.media_type, image.dataset, image.modality) == (MediaType.PNG, None, None)
    assert (image.frame_numbers, image.total_frames) == ((1,), 1)
    with pytest.raises(InvalidParameter):
        shown(encoded(GREY), "2")


def test_a_raster_declared_as_something_else_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        read(encoded(GREY), "image/jpeg")


def test_one_bit_png() -> None:
    assert np.array_equal(shown(encoded(Image.fromarray(GREY > 100)))[0], np.where(GREY > 100, 255, 0))


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    deep = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    assert shown(encoded(deep))[0].tolist() == [[0, 1, 1, 128, 255]]


def test_16_bit_colour_keeps_its_high_byte() -> None:
    rows = b"\0" + struct.pack(">6H", 0x1234, 0xFFFF, 0, 0x8000, 0x00FF, 0xFF00)
    data = PNG_HEAD + ihdr(2, 1, 16, 2) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert shown(data)[0].tolist() == [[[0x12, 255, 0], [128, 0, 255]]]


def test_what_is_transparent_shows_black() -> None:
    rgba = np.dstack([COLOUR, np.where(GREY > 100, 255, 0).astype(np.uint8)])
    assert np.array_equal(shown(encoded(rgba))[0], np.where(GREY[..., None] > 100, COLOUR, 0))
    half = Image.new("LA", (2, 1), (200, 128))
    assert shown(encoded(half))[0].tolist() == [[100, 100]]


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "I;16"])
def test_a_transparent_colour_shows_black(mode: str) -> None:
    if mode == "I;16":
        data = encoded(np.array([[0, 1000, 65535]], dtype=np.uint16), transparency=65535)
        assert shown(data)[0].tolist() == [[0, 4, 0]]
        return
    image = Image.fromarray(np.array([[10, 200]], dtype=np.uint8)).convert(mode)
    key = (200, 200, 200) if mode == "RGB" else image.getpixel((1, 0))
    out = shown(encoded(image, transparency=key))[0]
    assert out[0, 1].max() == 0
    assert abs(int(out[0, 0].max()) - 10) <= 1


def test_a_palette_png_becomes_rgb() -> None:
    image = Image.fromarray(COLOUR).quantize(8)
    assert np.array_equal(shown(encoded(image))[0], np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    picture = np.zeros((16, 32), dtype=np.uint8)
    picture[:8, :16] = 255  # white in the upper left quarter
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if kind == "JPEG" else {}
    frame = shown(encoded(picture, kind, exif=exif, **options))[0]
    turned = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.T,
        6: picture.T[:, ::-1],
        7: picture.T[::-1, ::-1],
        8: picture.T[::-1],
    }
    assert frame.shape == turned[orientation].shape
    assert np.abs(frame.astype(int) - turned[orientation]).max() <= 2


def test_a_cmyk_jpeg_becomes_rgb() -> None:
    frame = shown(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))[0]
    assert frame.shape == (8, 8, 3)
    assert frame[4, 4, 0] > 230
    assert frame[4, 4, 1:].max() < 25


def test_a_grey_jpeg_stays_grey() -> None:
    assert shown(encoded(Image.new("L", (8, 8), 99), "JPEG"))[0].tolist() == np.full((8, 8), 99).tolist()


@pytest.mark.parametrize(
    ("size", "expected"),
    [((4096, 3072), (1024, 768)), ((3000, 2000), (1500, 1000)), ((2047, 100), (2047, 100)), ((100, 8192), (13, 1024))],
)
def test_a_large_jpeg_is_decoded_small_but_not_too_small(size: tuple[int, int], expected: tuple[int, int]) -> None:
    frame = shown(encoded(Image.new("L", size, 50), "JPEG"))[0]
    assert (frame.shape[1], frame.shape[0]) == expected
    assert max(frame.shape) >= min(DRAFT_LONG_SIDE, max(size))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1130, 1200), (283, 300)), ((512, 512), (256, 256)), ((447, 3000), (447, 3000)), ((224, 224), (224, 224))],
)
def test_a_jpeg_may_be_decoded_no_larger_than_it_is_needed(size: tuple[int, int], expected: tuple[int, int]) -> None:
    data = encoded(Image.radial_gradient("L").resize(size), "JPEG")
    image = decode(Upload(data), FrameSelection(), IngestSettings(), 224)
    small = image.render(1)
    assert (small.shape[1], small.shape[0]) == expected
    assert np.array_equal(small, image.render(1))  # the second time it is read anew
    whole = Image.fromarray(shown(data)[0]).resize((224, 224), Image.Resampling.BICUBIC)
    difference = np.asarray(Image.fromarray(small).resize((224, 224), Image.Resampling.BICUBIC), int) - np.asarray(
        whole
    )
    assert np.abs(difference).max() <= 3


@pytest.mark.parametrize("size", [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (5001, 5000)])
def test_a_png_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    bomb = PNG_HEAD + ihdr(*size) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    tracemalloc.start()
    with pytest.raises(ImageTooLarge):
        read(bomb)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_jpeg_bomb_is_refused_by_its_header() -> None:
    data = encoded(Image.new("L", (8, 8)), "JPEG")
    start = data.index(b"\xff\xc0") + 5
    with pytest.raises(ImageTooLarge):
        read(data[:start] + struct.pack(">HH", 65000, 65000) + data[start + 4 :])


def test_the_limits_of_a_frame_hold() -> None:
    data = encoded(GREY)
    assert read(data, max_frame_pixels=48).render(1).shape == (6, 8)
    for limit in ({"max_frame_pixels": 47}, {"max_total_pixels": 47}):
        with pytest.raises(ImageTooLarge, match="47"):
            read(data, **limit)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_image_is_unreadable(kind: str) -> None:
    rng = np.random.default_rng(1)
    data = encoded(rng.integers(0, 255, (64, 64), dtype=np.uint8), kind)
    for end in range(12, len(data) - 20, 97):
        with pytest.raises(Unreadable):
            shown(data[:end])


def test_an_animated_png_gives_its_first_picture() -> None:
    first, second = (Image.new("L", (4, 4), tone) for tone in (10, 200))
    data = encoded(first, save_all=True, append_images=[second])
    image = read(data)
    assert image.total_frames == 1
    assert image.render(1).tolist() == np.full((4, 4), 10).tolist()
    assert image.segments["animation"] >= 3


def test_a_multi_picture_jpeg_gives_its_first_picture() -> None:
    first, second = (Image.new("L", (8, 8), tone) for tone in (10, 200))
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    image = read(data)
    assert image.total_frames == 1
    assert image.render(1).tolist() == np.full((8, 8), 10).tolist()
    assert image.segments == {"mpf": 1, "trailing": 1}


def test_the_metadata_of_a_jpeg_are_counted_by_kind() -> None:
    exif = Image.Exif()
    exif[0x010E] = "DOE^JANE"
    data = encoded(
        Image.new("L", (8, 8)), "JPEG", exif=exif, comment=b"DOE^JANE", icc_profile=b"\0" * 200, xmp=b"<DOE/>"
    )
    extra = b"\xff\xed\x00\x14Photoshop 3.0\x008BIM" + b"\xff\xe5\x00\x06NAME" + b"\xff\xe0\x00\x08JFXX\x00\x10"
    image = read(data[:2] + extra + data[2:] + b"DOE^JANE", "image/jpeg")
    assert image.segments == {
        "iptc": 1,
        "application": 1,
        "thumbnail": 1,
        "exif": 1,
        "xmp": 1,
        "icc": 1,
        "comment": 1,
        "trailing": 1,
    }
    assert "DOE" not in repr(image)


def test_the_metadata_of_a_png_are_counted_by_kind() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "DOE^JANE")
    info.add_text("Comment", "DOE^JANE", zip=True)
    info.add_itxt("XML:com.adobe.xmp", "<DOE/>")
    info.add_text("Raw profile type iptc", "DOE")
    info.add(b"tIME", struct.pack(">HBBBBB", 2020, 1, 31, 10, 11, 12))
    info.add(b"naMe", b"DOE^JANE")
    exif = Image.Exif()
    exif[0x010E] = "DOE^JANE"
    image = read(encoded(GREY, pnginfo=info, exif=exif, icc_profile=b"\0" * 200) + b"DOE^JANE")
    assert image.segments == {
        "icc": 1, "text": 2, "xmp": 1, "iptc": 1, "time": 1, "other": 1, "exif": 1, "trailing": 1,
    }  # fmt: skip
    assert "DOE" not in repr(image)


def test_a_bare_image_has_no_segments() -> None:
    assert read(encoded(GREY)).segments == {}
    assert read(encoded(GREY, "JPEG", quality=90)).segments == {}


def test_a_segment_bomb_is_refused() -> None:
    data = PNG_HEAD + ihdr(1, 1) + chunk(b"tIME", b"") * (MAX_SEGMENTS + 1)
    with pytest.raises(UnsafeFile):
        metadata_segments(data, MediaType.PNG)
    comments = b"\xff\xd8" + b"\xff\xfe\x00\x02" * (MAX_SEGMENTS + 1)
    with pytest.raises(UnsafeFile):
        metadata_segments(comments, MediaType.JPEG)


def test_a_scan_bomb_is_refused() -> None:
    data = encoded(GREY, "JPEG", progressive=True)
    start = data.index(b"\xff\xda")
    assert read(data).render(1).shape == (6, 8)
    with pytest.raises(UnsafeFile, match="scans"):
        read(data[:start] + data[start:-2] * MAX_SCANS + b"\xff\xd9")


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\x00\x00", PNG_HEAD, PNG_HEAD + ihdr(0, 0), PNG_HEAD + b"\xff" * 20]
)
def test_an_image_that_is_a_mere_signature_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read(data).render(1)


def test_a_text_bomb_is_unreadable() -> None:
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(20_000_000)))
    data = encoded(GREY)
    with pytest.raises(Unreadable):
        shown(data[:33] + bomb + data[33:])
