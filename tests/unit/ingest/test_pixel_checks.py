"""Step 2: what the header says of the pixels is checked before one is decoded."""

import struct
import tracemalloc

import numpy as np
import pytest
import rle.utils

from gateway.errors import CallerError, ImageTooLarge, InvalidParameter, Unreadable, UnsafeFile
from gateway.ingest.decode import decode
from gateway.ingest.frames import FrameSelection
from gateway.ingest.upload import Upload
from gateway.settings import IngestSettings
from tests.support.dicom_files import (
    DEFLATED_FRAME,
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_LS,
    RLE,
    attributes,
    element,
    encapsulated,
    file,
    native,
    sample,
    shown,
    text,
    us,
)

PIXELS = element(0x7FE00010, "OB", bytes(4))


@pytest.mark.parametrize("syntax", [RLE, JPEG_2000, JPEG_LS, JPEG_BASELINE])
def test_a_pixel_bomb_is_refused_before_anything_is_decoded(syntax: str) -> None:
    bomb = file(attributes(20000, 20000) + encapsulated([b"\xff" * 64]), syntax)
    tracemalloc.start()
    with pytest.raises(ImageTooLarge, match="A frame has more than"):
        decode(Upload(bomb), FrameSelection(), IngestSettings())
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def j2k(rows: int, columns: int, components: int = 1, precision: int = 8) -> bytes:
    size = struct.pack(">HHLLLLLLLLH", 38 + 3 * components, 0, columns, rows, 0, 0, columns, rows, 0, 0, components)
    return b"\xff\x4f\xff\x51" + size + bytes([precision - 1, 1, 1]) * components + b"\xff\xd9"


def jpeg(rows: int, columns: int, components: int = 1, precision: int = 8, marker: int = 0xC0) -> bytes:
    parts = b"".join(bytes([number + 1, 0x11, 0]) for number in range(components))
    body = struct.pack(">BHHB", precision, rows, columns, components) + parts
    return b"\xff\xd8\xff\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body + b"\xff\xd9"


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (JPEG_2000, j2k(30000, 30000)),
        (JPEG_2000, j2k(8, 8, components=3)),
        (JPEG_2000, j2k(8, 8, precision=12)),
        (JPEG_2000, b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0jp2c" + j2k(30000, 30000)),
        (JPEG_BASELINE, jpeg(30000, 30000)),
        (JPEG_BASELINE, jpeg(8, 8, components=4)),
        (JPEG_BASELINE, jpeg(0, 8)),
        (JPEG_LS, jpeg(30000, 30000, marker=0xF7)),
    ],
)
def test_a_codestream_of_other_dimensions_than_the_header_is_refused(syntax: str, frame: bytes) -> None:
    with pytest.raises(UnsafeFile, match="declares"):
        shown(file(attributes(8, 8) + encapsulated([frame]), syntax))


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (JPEG_2000, b"not a codestream at all, but long enough to hold the header of one, or so it seems"),
        (JPEG_2000, b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0ABCD"),
        (JPEG_2000, j2k(8, 8)),
        (JPEG_BASELINE, b"\xff\xd8\xff\xd9"),
        (JPEG_BASELINE, jpeg(8, 8)),
        (JPEG_BASELINE, jpeg(8, 8, marker=0xC9)),
        (JPEG_LS, b""),
        (RLE, b"\0" * 64),
        (RLE, struct.pack("<16L", 1, 0xFFFFFFF0, *[0] * 14)),
    ],
)
def test_a_frame_that_is_no_codestream_is_unreadable(syntax: str, frame: bytes) -> None:
    with pytest.raises(Unreadable):
        shown(file(attributes(8, 8) + encapsulated([frame]), syntax))


def test_rle_segments_stop_at_the_size_of_the_frame() -> None:
    bomb = struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\x07" * 1_000_000  # would be 129 MB
    (frame,) = shown(file(attributes(8, 8) + encapsulated([bomb]), RLE))
    assert frame.shape == (8, 8)


def test_a_decoder_that_panics_is_a_refusal_like_any_other() -> None:
    """A Rust panic is no Exception. Four segments of 111 bytes for 100 pixels make the RLE decoder panic."""
    segment = b"\xdc\x07" * 3
    frame = struct.pack("<16L", 4, *range(64, 64 + 4 * len(segment), len(segment)), *[0] * 11) + segment * 4
    with pytest.raises(BaseException) as panic:  # noqa: PT011 - its class cannot be imported
        rle.utils.decode_frame(frame, 100, 32, "<")
    assert not isinstance(panic.value, Exception)
    with pytest.raises(Unreadable):
        shown(file(attributes(10, 10, allocated=32) + encapsulated([frame]), RLE))


def test_a_deflated_frame_stops_at_the_size_of_the_frame() -> None:
    import zlib

    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = stream.compress(bytes(20_000_000)) + stream.flush()
    with pytest.raises(UnsafeFile):
        shown(file(attributes(8, 8) + encapsulated([bomb]), DEFLATED_FRAME))


@pytest.mark.parametrize("length", [0, 1, 2])
def test_too_few_native_pixels_are_refused(length: int) -> None:
    with pytest.raises(UnsafeFile, match="length"):
        shown(file(attributes(2, 2) + element(0x7FE00010, "OB", bytes(length))))


def test_zeros_may_follow_native_pixels_and_nothing_else() -> None:
    array = np.arange(9, dtype=np.uint8).reshape(3, 3)
    for tail in (b"", b"\0", b"\0" * 101):
        data = file(attributes(3, 3) + element(0x7FE00010, "OB", array.tobytes() + tail))
        assert shown(data)[0].tolist() == array.tolist()
    with pytest.raises(UnsafeFile, match="length"):
        shown(file(attributes(3, 3) + element(0x7FE00010, "OB", array.tobytes() + b"\0NAME")))


@pytest.mark.parametrize("syntax", [RLE, JPEG_BASELINE])
def test_native_pixels_under_a_compressed_syntax_are_refused_and_the_reverse(syntax: str) -> None:
    with pytest.raises(UnsafeFile, match="encapsulated"):
        shown(file(attributes(2, 2) + PIXELS, syntax))
    with pytest.raises(UnsafeFile, match="encapsulated"):
        shown(file(attributes(2, 2) + encapsulated([b"AB"])))


@pytest.mark.parametrize(
    ("tag", "header"),
    [
        ("0028,0010", {"rows": 0}),
        ("0028,0011", {"columns": 0}),
        ("0028,0002", {"samples": 3}),
        ("0028,0002", {"samples": 4, "photometric": "RGB"}),
        ("0028,0004", {"photometric": "CMYK"}),
        ("0028,0004", {"photometric": "DOE^JANE"}),
        ("0028,0100", {"allocated": 12}),
        ("0028,0101", {"stored": 9}),
        ("0028,0103", {"signed": 2}),
        ("0028,0008", {"frames": 0}),
        ("0028,0008", {"frames": -1}),
    ],
)
def test_an_attribute_out_of_range_is_unreadable_and_named(tag: str, header: dict[str, int]) -> None:
    with pytest.raises(Unreadable, match=rf"\({tag}\)"):
        shown(file(attributes(**({"rows": 2, "columns": 2} | header)) + PIXELS))


@pytest.mark.parametrize("missing", [0x00280002, 0x00280004, 0x00280010, 0x00280011, 0x00280100])
def test_a_missing_attribute_is_unreadable_and_named(missing: int) -> None:
    data = file(attributes(2, 2) + PIXELS)
    start = data.index(struct.pack("<HH", missing >> 16, missing & 0xFFFF))
    end = start + 8 + struct.unpack_from("<H", data, start + 6)[0]
    with pytest.raises(Unreadable, match=rf"\(0028,{missing & 0xFFFF:04X}\)"):
        shown(data[:start] + data[end:])


def test_attributes_that_are_lists_or_words_are_refused() -> None:
    for broken in (text(0x00280010, "LO", "Doe"), element(0x00280010, "SQ", b""), element(0x00280010, "US", b"")):
        with pytest.raises(CallerError):
            shown(file(broken + attributes(2, 2)[len(us(0x00280002, 1)) :] + PIXELS))


def test_pixel_limits_hold_for_a_frame_and_for_the_chosen_frames() -> None:
    stack = np.zeros((8, 8), dtype=np.uint8)
    data = native(stack, rows=2, frames=4)
    assert len(shown(data, max_frame_pixels=16, max_total_pixels=64)) == 4
    with pytest.raises(ImageTooLarge, match="15"):
        shown(data, max_frame_pixels=15)
    with pytest.raises(ImageTooLarge, match="together"):
        shown(data, max_total_pixels=63)
    assert len(shown(data, "1,2,3", max_total_pixels=63)) == 3


def test_a_billion_frames_cost_nothing() -> None:
    with pytest.raises(ImageTooLarge, match="frames=middle"):
        shown(file(attributes(2, 2, frames=2**31 - 1) + PIXELS))
    with pytest.raises(UnsafeFile):
        shown(file(attributes(2, 2, frames=2**31 - 1) + PIXELS), "middle")


def test_chosen_frames_are_decoded_and_no_others() -> None:
    stack = np.arange(4, dtype=np.uint8).repeat(4).reshape(8, 2)
    data = native(stack, rows=2, frames=4)
    image = decode(Upload(data), FrameSelection.parse("4,2"), IngestSettings())
    assert image.frame_numbers == (2, 4)
    assert image.total_frames == 4
    assert [(number, int(frame[0, 0])) for number, frame in image.frames()] == [(2, 1), (4, 3)]
    with pytest.raises(InvalidParameter):
        shown(data, "5")


def test_a_compressed_frame_that_is_not_there_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        shown(file(attributes(8, 8, frames=3) + encapsulated([j2k(8, 8)]), JPEG_2000), "3")


@pytest.mark.parametrize("table", [struct.pack("<2L", 0, 0xFFFFFFF0), b"\1\2\3", struct.pack("<L", 2)])
def test_an_offset_table_that_points_elsewhere_is_refused(table: bytes) -> None:
    with pytest.raises(CallerError):
        shown(file(attributes(8, 8, frames=2) + encapsulated([j2k(8, 8)] * 2, table=table), JPEG_2000))


def test_no_detail_holds_a_value_of_the_file() -> None:
    header = attributes(2, 2, photometric="SECRETNAME", more=text(0x00280A02, "LO", "SECRETNAME"))
    with pytest.raises(Unreadable) as refusal:
        shown(file(text(0x00100010, "PN", "SECRETNAME") + header + PIXELS))
    assert "SECRET" not in repr(refusal.value.problem("0"))


def test_the_data_set_handed_on_has_no_pixels_and_no_preamble() -> None:
    image = decode(Upload(sample("CT_small.dcm")), FrameSelection(), IngestSettings())
    assert image.dataset is not None
    assert "PixelData" not in image.dataset
    assert getattr(image.dataset, "preamble", None) is None
    assert image.dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert image.modality == "CT"


def test_frames_can_be_rendered_after_the_data_set_was_emptied() -> None:
    image = decode(Upload(sample("CT_small.dcm")), FrameSelection(), IngestSettings())
    before = image.render(1)
    assert image.dataset is not None
    image.dataset.clear()
    assert np.array_equal(image.render(1), before)


@pytest.mark.parametrize("value", ["DOE", "ct", "CT\\MR", ""])
def test_a_modality_that_is_no_defined_term_is_none(value: str) -> None:
    data = file(text(0x00080060, "CS", value) + attributes(2, 2) + PIXELS)
    known = decode(Upload(data), FrameSelection(), IngestSettings()).modality
    assert known == ("CT" if value == "CT\\MR" else None)


@pytest.mark.parametrize(
    ("value", "known"), [("BRAIN", "BRAIN"), ("brain ", "BRAIN"), ("HEAD\\NECK", "HEAD"), ("", None)]
)
def test_the_body_part_is_read_in_capitals_and_shown_by_no_repr(value: str, known: str | None) -> None:
    data = file(text(0x00180015, "CS", value) + attributes(2, 2) + PIXELS)
    image = decode(Upload(data), FrameSelection(), IngestSettings())
    assert image.body_part == known
    assert "BRAIN" not in repr(image)
