"""Step 2: each transfer syntax gives the stored values that its encoder was given."""

import struct
import zlib
from io import BytesIO

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image

from gateway.errors import Unreadable
from gateway.ingest.codecs import PixelSource, Stored
from gateway.ingest.guard import silence
from gateway.ingest.header import PixelHeader
from gateway.ingest.part10 import read_file
from gateway.settings import IngestSettings
from tests.support.dicom_files import (
    DEFLATED_FRAME,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    RLE,
    attributes,
    element,
    encapsulated,
    file,
    native,
    sample,
    shown,
)

LIMITS = IngestSettings()


def stored(data: bytes, number: int = 1) -> tuple[Stored, str]:
    found = read_file(data, LIMITS)
    assert found.pixels is not None
    header = PixelHeader.read(found.dataset, found.pixels)
    with silence():
        return PixelSource.of(found.data, found.pixels, header, found.syntax, None).decode(number)


def reference(name: str) -> np.ndarray:
    path = pydicom.data.get_testdata_file(name, download=False)
    with silence():
        return pydicom.dcmread(path).pixel_array


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "JPEG2000.dcm",
        "693_J2KI.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "JPEGLSNearLossless_08.dcm",
        "JPEGLSNearLossless_16.dcm",
        "image_dfl.dcm",
        "rtdose_1frame.dcm",
        "rtdose_rle_1frame.dcm",
        "rtdose_expb_1frame.dcm",
        "liver_1frame.dcm",
        "liver_expb_1frame.dcm",
        "examples_overlay.dcm",
        "examples_palette.dcm",
        "SC_rgb_rle_16bit.dcm",
        "SC_rgb_rle_32bit.dcm",
        "SC_rgb_small_odd_big_endian.dcm",
        "ExplVR_BigEnd.dcm",
        "examples_rgb_color.dcm",
        "examples_jpeg2k.dcm",
        "GDCMJ2K_TextGBR.dcm",
        "SC_rgb_jls_lossy_line.dcm",
        "SC_rgb_jls_lossy_sample.dcm",
        "SC_rgb_jpeg.dcm",
        "SC_rgb_jpeg_dcmd.dcm",
        "SC_rgb_jpeg_app14_dcmd.dcm",
        "SC_jpeg_no_color_transform.dcm",
        "SC_jpeg_no_color_transform_2.dcm",
    ],
)
def test_stored_values_are_those_of_pydicom(name: str) -> None:
    values, _ = stored(sample(name))
    expected = reference(name)
    assert values.dtype.kind == expected.dtype.kind
    assert np.array_equal(values, expected)


def test_the_encodings_of_one_image_agree() -> None:
    expected, _ = stored(sample("MR_small.dcm"))
    for name in ("implicit", "bigendian", "expb", "RLE", "jp2klossless", "jpeg_ls_lossless"):
        assert np.array_equal(stored(sample(f"MR_small_{name}.dcm"))[0], expected), name


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("SC_rgb_rle.dcm", 0),
        ("SC_rgb_rle_16bit.dcm", 0),
        ("SC_rgb_rle_32bit.dcm", 0),
        ("SC_rgb_jpeg_gdcm.dcm", 0),
        ("SC_rgb_gdcm_KY.dcm", 3),
        ("SC_rgb_jls_lossy_line.dcm", 4),
        ("SC_rgb_jls_lossy_sample.dcm", 4),
        ("SC_ybr_full_422_uncompressed.dcm", 5),
        ("SC_rgb_jpeg_dcmtk.dcm", 5),
        ("SC_rgb_dcmtk_+eb+cr.dcm", 5),
        ("SC_rgb_dcmtk_+eb+cy+n1.dcm", 5),
        ("SC_rgb_dcmtk_+eb+cy+n2.dcm", 5),
        ("SC_rgb_dcmtk_+eb+cy+np.dcm", 5),
        ("SC_rgb_dcmtk_+eb+cy+s2.dcm", 5),
        ("SC_rgb_dcmtk_+eb+cy+s4.dcm", 5),
    ],
)
def test_ten_colour_bars_show_their_colours_whatever_they_are_encoded_in(name: str, tolerance: int) -> None:
    """Known numbers: each bar is ten rows of one colour."""
    bars = [
        (255, 0, 0), (255, 128, 128), (0, 255, 0), (128, 255, 128), (0, 0, 255),
        (128, 128, 255), (0, 0, 0), (64, 64, 64), (192, 192, 192), (255, 255, 255),
    ]  # fmt: skip
    frame = shown(sample(name))[0].astype(int)
    for number, colour in enumerate(bars):
        assert np.abs(frame[10 * number + 5, 50] - colour).max() <= tolerance, number


@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "JPGExtended.dcm"])
def test_12_bit_jpeg_is_decoded_by_its_own_codec(name: str) -> None:
    values, _ = stored(sample(name))
    assert values.shape == (1024, 256)
    # The same picture as JPEG 2000, from another encoder; both lose the finest detail.
    other, _ = stored(sample("JPEG2000.dcm"))
    coarse, other_coarse = (picture.reshape(128, 8, 32, 8).mean(axis=(1, 3)) for picture in (values, other))
    assert np.corrcoef(coarse.ravel(), other_coarse.ravel())[0, 1] > 0.95


def test_12_bit_lossy_jpeg_gives_back_what_was_put_in() -> None:
    array = (np.add.outer(np.arange(64), np.arange(64)) * 32).astype(np.uint16)
    coded = imagecodecs.jpeg8_encode(array, level=100, bitspersample=12)
    values, _ = stored(file(attributes(64, 64, allocated=16, stored=12) + encapsulated([coded]), JPEG_EXTENDED))
    assert np.abs(values.astype(int) - array).max() <= 1


@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (16, False), (12, True), (16, True)])
def test_lossless_jpeg_gives_back_what_was_put_in(bits: int, signed: bool) -> None:
    rng = np.random.default_rng(bits)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    array = rng.integers(low, high, (16, 24)).astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    unsigned = array.view(array.dtype.str.replace("i", "u")) & (2**bits - 1)
    coded = imagecodecs.ljpeg_encode(unsigned, bitspersample=bits)
    header = attributes(16, 24, allocated=8 * array.dtype.itemsize, stored=bits, signed=int(signed))
    values, _ = stored(file(header + encapsulated([coded]), JPEG_LOSSLESS))
    assert values.dtype.kind == array.dtype.kind
    assert np.array_equal(values, array)


def jpeg(array: np.ndarray, **options: object) -> bytes:
    out = BytesIO()
    Image.fromarray(array).save(out, "JPEG", quality=100, **options)
    return out.getvalue()


RED = np.full((16, 16, 3), (200, 30, 60), dtype=np.uint8)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("marker", ["jfif", "none"])
def test_a_jpeg_without_colour_marks_is_what_the_header_says(photometric: str, marker: str) -> None:
    coded = jpeg(RED, subsampling=0)
    if marker == "none":
        length = int.from_bytes(coded[4:6], "big")
        assert coded[6:10] == b"JFIF"
        coded = coded[:2] + coded[4 + length :]
    (frame,) = shown(
        file(attributes(16, 16, samples=3, photometric=photometric, planar=0) + encapsulated([coded]), JPEG_BASELINE)
    )
    # JFIF says YCbCr, whatever the header says. Without it, "RGB" leaves the three components alone.
    untouched = marker == "none" and photometric == "RGB"
    expected = np.asarray(Image.fromarray(RED).convert("YCbCr"))[0, 0] if untouched else RED[0, 0]
    assert np.abs(frame[8, 8].astype(int) - expected).max() <= 3


@pytest.mark.parametrize(("transform", "keep_rgb"), [(0, True), (1, False)])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422"])
def test_an_adobe_mark_decides_over_the_header(transform: int, keep_rgb: bool, photometric: str) -> None:
    coded = jpeg(RED, subsampling=0, keep_rgb=keep_rgb)
    if coded[6:10] == b"JFIF":
        coded = coded[:2] + coded[4 + int.from_bytes(coded[4:6], "big") :]
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
    if b"Adobe" not in coded:
        coded = coded[:2] + adobe + coded[2:]
    (frame,) = shown(
        file(attributes(16, 16, samples=3, photometric=photometric, planar=0) + encapsulated([coded]), JPEG_BASELINE)
    )
    assert np.abs(frame[8, 8].astype(int) - RED[0, 0]).max() <= 3


def test_a_progressive_jpeg_is_no_baseline() -> None:
    coded = jpeg(RED, progressive=True)
    with pytest.raises(Unreadable, match="process"):
        shown(file(attributes(16, 16, samples=3, photometric="RGB", planar=0) + encapsulated([coded]), JPEG_BASELINE))


def test_deflated_frames_are_inflated_one_by_one() -> None:
    frames = [bytes([number]) * 9 for number in (1, 2, 3)]
    coded = []
    for frame in frames:
        stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        coded.append(stream.compress(frame) + stream.flush())
    data = file(attributes(3, 3, frames=3) + encapsulated(coded), DEFLATED_FRAME)
    assert [int(frame[0, 0]) for frame in shown(data)] == [1, 2, 3]


def test_one_bit_frames_that_share_a_byte_come_apart() -> None:
    bits = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 1]] * 3, dtype=np.uint8)  # three frames of nine pixels
    bits[3:6] ^= 1
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    data = file(attributes(3, 3, frames=3, allocated=1) + element(0x7FE00010, "OB", packed))
    for frame, expected in zip(shown(data), np.split(bits, 3), strict=True):
        assert np.array_equal(frame, expected * 255)


def test_planes_and_pixels_interleaved_show_the_same() -> None:
    array = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    planes = np.ascontiguousarray(array.transpose(2, 0, 1))
    data = file(attributes(3, 3, samples=3, photometric="RGB", planar=1) + element(0x7FE00010, "OB", planes.tobytes()))
    assert np.array_equal(shown(data)[0], array)
    assert np.array_equal(shown(native(array))[0], array)


def test_bits_above_bits_stored_are_not_part_of_the_value() -> None:
    array = np.array([[0xF001, 0xF7FF], [0x0800, 0x0FFF]], dtype=np.uint16)
    values, _ = stored(native(array, stored=12))
    assert values.tolist() == [[1, 0x7FF], [0x800, 0xFFF]]
    values, _ = stored(native(array, stored=12, signed=1))
    assert values.tolist() == [[1, 0x7FF], [-0x800, -1]]


def test_an_extended_offset_table_is_followed() -> None:
    found = read_file(sample("MR_small_RLE.dcm"), LIMITS)
    assert found.pixels is not None
    fragments = found.data[found.pixels.start : found.pixels.end]
    frame = fragments[8 + int.from_bytes(fragments[4:8], "little") + 8 : -8]
    offsets = element(0x7FE00001, "OV", struct.pack("<2Q", 0, len(frame) + 8))
    lengths = element(0x7FE00002, "OV", struct.pack("<2Q", len(frame), len(frame)))
    header = attributes(64, 64, frames=2, allocated=16, signed=1)
    one, two = shown(file(header + offsets + lengths + encapsulated([frame, frame]), RLE))
    assert np.array_equal(one, two)
    assert one.std() > 0
