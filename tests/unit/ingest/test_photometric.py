"""Step 2: stored values are shown as the header says; worked out by hand from PS3.3 C.7.6.3, C.11."""

import contextlib
import struct
import tracemalloc

import numpy as np
import pytest

from gateway.errors import CallerError, Unreadable
from tests.support.dicom_files import attributes, element, file, item, native, sample, shown, text, us

RAMP = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17  # 0 to 255


def window(center: float, width: float, function: str = "") -> bytes:
    kind = text(0x00281056, "CS", function) if function else b""
    return text(0x00281050, "DS", f"{center}") + text(0x00281051, "DS", f"{width}") + kind


def rescale(slope: float | str, intercept: float | str) -> bytes:
    return text(0x00281052, "DS", f"{intercept}") + text(0x00281053, "DS", f"{slope}")


def lut(tag: int, descriptor: tuple[int, int, int], data: bytes, vr: str = "OW") -> bytes:
    signed = "SS" if descriptor[1] < 0 else "US"
    head = element(
        0x00283002,
        signed,
        struct.pack("<Hh" if descriptor[1] < 0 else "<HH", *descriptor[:2]) + struct.pack("<H", descriptor[2]),
    )
    return element(tag, "SQ", item(head + element(0x00283006, vr, data)))


def row(values: list[int], dtype: str, **header: object) -> list[int]:
    """One row of stored values, shown."""
    return [int(tone) for tone in shown(native(np.array([values], dtype=dtype), **header))[0][0]]


def test_eight_bits_without_a_window_are_shown_as_they_are() -> None:
    assert np.array_equal(shown(native(RAMP))[0], RAMP)


def test_monochrome1_is_inverted() -> None:
    assert np.array_equal(shown(native(RAMP, photometric="MONOCHROME1"))[0], 255 - RAMP)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_an_inverse_presentation_shape_inverts_once(photometric: str) -> None:
    shape = text(0x20500020, "CS", "INVERSE")
    assert np.array_equal(shown(native(RAMP, photometric=photometric, more=shape))[0], 255 - RAMP)


def test_few_stored_bits_fill_the_range() -> None:
    assert row([0, 1], "u1", stored=1) == [0, 255]
    assert row([0, 1, 2, 3], "u1", stored=2) == [0, 85, 170, 255]
    assert row([-2, -1, 0, 1], "i1", stored=2) == [0, 85, 170, 255]


def test_a_linear_window() -> None:
    """C.11.2.1.2.1: center 50, width 101 maps -0.5..99.5 (center - 0.5 +- 50) to 0..255; the edges clip."""
    more = window(50.5, 101)
    assert row([0, 25, 50, 75, 100, 1000], "u2", more=more) == [0, 64, 128, 191, 255, 255]


def test_a_linear_window_of_width_one_is_a_threshold() -> None:
    assert row([9, 10, 11], "u2", more=window(10.5, 1)) == [0, 0, 255]


def test_a_linear_exact_window() -> None:
    assert row([0, 25, 50, 75, 100], "u2", more=window(50, 100, "LINEAR_EXACT")) == [0, 64, 128, 191, 255]
    assert row([0, 1], "u2", more=window(0.5, 0.5, "LINEAR_EXACT")) == [0, 255]


def test_a_sigmoid_window() -> None:
    """C.11.2.1.3.1: 255 / (1 + e**-4 (x - 100) / 100)."""
    assert row([0, 50, 100, 150, 200], "u2", more=window(100, 100, "SIGMOID")) == [5, 30, 128, 225, 250]


def test_the_first_of_several_windows_is_taken() -> None:
    more = text(0x00281050, "DS", "50\\500") + text(0x00281051, "DS", "100\\1000")
    assert row([0, 50, 100], "u2", more=more) == row([0, 50, 100], "u2", more=window(50, 100))


def test_rescale_comes_before_the_window() -> None:
    # 1024 - 1024 = 0 HU; window 0 +- 200
    more = window(0.5, 401) + rescale(1, -1024)
    assert row([824, 1024, 1224], "u2", more=more) == [0, 128, 255]
    assert row([1224, 1024, 824], "u2", more=window(0.5, 401) + rescale(-1, 1024)) == [0, 128, 255]


def test_signed_values_and_a_window() -> None:
    assert row([-200, 0, 200], "i2", more=window(0.5, 401)) == [0, 128, 255]


@pytest.mark.parametrize(
    "more",
    [
        window(50, 0),
        window(50, -5),
        window(50, 0.5),
        window(50, 0, "LINEAR_EXACT"),
        window(50, -1, "SIGMOID"),
        text(0x00281050, "DS", "nan") + text(0x00281051, "DS", "10"),
        text(0x00281050, "DS", "10") + text(0x00281051, "DS", "inf"),
        text(0x00281050, "DS", "10"),
        text(0x00281051, "DS", "10"),
        text(0x00281050, "DS", "Doe") + text(0x00281051, "DS", "10"),
        text(0x00281050, "DS", "") + text(0x00281051, "DS", ""),
    ],
)
def test_a_window_that_is_none_is_passed_over(more: bytes) -> None:
    assert row([100, 200, 300], "u2", more=more) == [0, 128, 255]


@pytest.mark.parametrize("more", [rescale(0, 5), rescale("nan", 0), rescale("inf", 1), text(0x00281053, "DS", "2")])
def test_a_rescale_that_is_none_is_passed_over(more: bytes) -> None:
    assert row([100, 200, 300], "u2", more=more) == [0, 128, 255]


@pytest.mark.parametrize(
    "more", [rescale("1e308", "1e308"), rescale("-1e308", 0), window(1e308, 1e308), rescale("5e-324", 0)]
)
def test_absurd_numbers_are_clipped_and_never_raise(more: bytes) -> None:
    assert shown(native(np.array([[0, 1, 65535]], dtype="u2"), more=more))[0].shape == (1, 3)
    assert shown(native(np.array([[0, 1, 2**32 - 1]], dtype="u4"), more=more))[0].shape == (1, 3)


def test_without_a_window_one_hot_pixel_does_not_darken_the_rest() -> None:
    frame = np.tile(np.linspace(1000, 1255, 64).astype(np.uint16), (64, 1))
    frame[0, 0] = 65535
    frame[63, 63] = 0
    out = shown(native(frame))[0]
    assert out[0, 0] == 255
    assert out[63, 63] == 0
    assert out[5, 0] <= 1
    assert out[5, 63] >= 254


def test_padding_does_not_count_when_the_range_is_sought() -> None:
    frame = np.full((64, 64), -2000, dtype=np.int16)
    frame[16:48, 16:48] = np.arange(32) * 10
    padding = element(0x00280120, "SS", struct.pack("<h", -2000))
    out = shown(native(frame, more=padding))[0]
    assert (out[20, 16], out[20, 47]) == (0, 255)
    ranged = element(0x00280120, "SS", struct.pack("<h", -2100)) + element(0x00280121, "SS", struct.pack("<h", -1900))
    assert np.array_equal(shown(native(frame, more=ranged))[0], out)
    assert shown(native(frame))[0][20, 16] > 200


def test_a_frame_of_one_value_is_black() -> None:
    assert row([7, 7, 7], "u2") == [0, 0, 0]
    assert row([7, 7, 7], "u4") == [0, 0, 0]


@pytest.mark.parametrize("dtype", ["u4", "i4"])
def test_32_bit_values(dtype: str) -> None:
    assert row([0, 100_000, 200_000], dtype) == [0, 128, 255]
    assert row([0, 100_000, 200_000], dtype, more=window(50_000.5, 100_001)) == [0, 255, 255]
    assert row([0, 100_000, 200_000], dtype, more=rescale(1e-3, 0) + window(100, 200, "LINEAR_EXACT")) == [0, 128, 255]


def test_float_pixels() -> None:
    values = np.array([[0.0, 0.5, 1.0, np.nan, np.inf]], dtype="<f4")
    header = attributes(1, 5, allocated=32)
    out = shown(file(header + element(0x7FE00008, "OF", values.tobytes())))[0][0]
    assert out.tolist() == [0, 128, 255, 0, 255]
    double = attributes(1, 5, allocated=64) + element(0x7FE00009, "OD", values.astype("<f8").tobytes())
    assert shown(file(double))[0][0].tolist() == [0, 128, 255, 0, 255]


@pytest.mark.parametrize("vr", ["OW", "US"])
def test_a_modality_lut(vr: str) -> None:
    """Four entries for stored values from 10; those beyond either end get the end's entry. 16 bits: shown by range."""
    more = lut(0x00283000, (4, 10, 16), struct.pack("<4H", 100, 300, 200, 400), vr)
    assert row([0, 10, 11, 12, 13, 200], "u2", more=more) == [0, 0, 170, 85, 255, 255]


def test_a_voi_lut_is_preferred_to_a_window() -> None:
    more = window(1, 2) + lut(0x00283010, (3, 10, 8), struct.pack("<3H", 0, 128, 255))
    assert row([0, 10, 11, 12, 99], "u2", more=more) == [0, 0, 128, 255, 255]


def test_a_voi_lut_whose_entries_are_bytes() -> None:
    more = lut(0x00283010, (4, 0, 8), bytes([0, 255, 64, 128]))
    assert row([0, 1, 2, 3], "u2", more=more) == [0, 255, 64, 128]


@pytest.mark.parametrize("dtype", ["u2", "i2"])
def test_a_lut_that_begins_below_zero(dtype: str) -> None:
    more = lut(0x00283010, (4, -2, 8), struct.pack("<4H", 0, 100, 200, 255))
    assert row([0, 1, 2], dtype, more=more) == [200, 255, 255]


def test_a_lut_shorter_than_it_says_ends_where_it_ends() -> None:
    more = lut(0x00283010, (0, 0, 16), struct.pack("<2H", 0, 65535))
    assert row([0, 1, 60000], "u2", more=more) == [0, 255, 255]


@pytest.mark.parametrize(
    "sequence",
    [
        lut(0x00283000, (4, 0, 0), bytes(8)),
        lut(0x00283000, (4, 0, 99), bytes(8)),
        lut(0x00283000, (4, 0, 16), b""),
        element(0x00283000, "SQ", item(b"")),
        element(0x00283000, "SQ", item(us(0x00283002, 4, 0) + element(0x00283006, "OW", bytes(8)))),
        element(0x00283000, "SQ", item(text(0x00283002, "LO", "Doe") + text(0x00283006, "LO", "Doe"))),
    ],
)
def test_a_modality_lut_that_is_no_table_is_unreadable(sequence: bytes) -> None:
    with pytest.raises(Unreadable, match="lookup table"):
        row([0, 1], "u2", more=sequence)


def groups(number: int, *macros: bytes) -> bytes:
    return element(0x52009230 if number else 0x52009229, "SQ", b"".join(item(macro) for macro in macros))


def test_functional_groups_of_the_frame_win_over_shared_ones_and_these_over_the_top() -> None:
    frames = np.array([[0, 100, 200]] * 3, dtype="u2")
    wide = element(0x00289132, "SQ", item(window(100, 200, "LINEAR_EXACT")))
    narrow = element(0x00289132, "SQ", item(window(150, 100, "LINEAR_EXACT")))
    doubled = element(0x00289145, "SQ", item(rescale(2, 0)))
    more = window(5000, 10) + groups(0, wide) + groups(1, narrow, b"", doubled)
    first, second, third = (frame[0].tolist() for frame in shown(native(frames, rows=1, frames=3, more=more)))
    assert first == [0, 0, 255]
    assert second == [0, 128, 255]
    assert third == [0, 255, 255]


def test_a_frame_is_shown_by_its_own_group_when_it_is_chosen_alone() -> None:
    frames = np.array([[0, 100, 200]] * 2, dtype="u2")
    more = groups(
        1,
        element(0x00289132, "SQ", item(window(100, 200, "LINEAR_EXACT"))),
        element(0x00289132, "SQ", item(window(150, 100, "LINEAR_EXACT"))),
    )
    (only,) = shown(native(frames, rows=1, frames=2, more=more), "2")
    assert only[0].tolist() == [0, 0, 255]


def test_fewer_functional_groups_than_frames_fall_back() -> None:
    frames = np.array([[0, 255]] * 2, dtype="u1")
    assert len(shown(native(frames, rows=1, frames=2, more=groups(1, b"")))) == 2


def palette(
    bits: int, first: int, red: bytes, green: bytes, blue: bytes, *, count: int, segmented: bool = False
) -> bytes:
    base = 0x00281221 if segmented else 0x00281201
    described = b"".join(us(0x00281101 + channel, count, first, bits) for channel in range(3))
    return described + b"".join(element(base + channel, "OW", data) for channel, data in enumerate((red, green, blue)))


def test_a_palette_of_16_bit_entries() -> None:
    words = [struct.pack("<3H", *values) for values in ((0, 0x8000, 0xFFFF), (0xFFFF, 0, 0), (0x1234, 0, 0xFF00))]
    out = shown(
        native(
            np.array([[4, 5, 6, 7, 9]], dtype="u1"), photometric="PALETTE COLOR", more=palette(16, 5, *words, count=3)
        )
    )
    assert out[0][0].tolist() == [[0, 255, 0x12], [0, 255, 0x12], [128, 0, 0], [255, 0, 255], [255, 0, 255]]


def test_a_palette_of_8_bit_entries_in_bytes_and_in_words() -> None:
    pixels = np.array([[0, 1, 2, 3]], dtype="u2")
    in_bytes = palette(8, 0, bytes([1, 2, 3, 4]), bytes([5, 6, 7, 8]), bytes([9, 10, 11, 12]), count=4)
    in_words = palette(16, 0, *(struct.pack("<4H", *range(start, start + 4)) for start in (1, 5, 9)), count=4)
    for more in (in_bytes, in_words):
        out = shown(native(pixels, photometric="PALETTE COLOR", more=more))[0]
        assert out[0].tolist() == [[1, 5, 9], [2, 6, 10], [3, 7, 11], [4, 8, 12]]


def test_a_palette_of_more_than_256_entries_of_8_bits() -> None:
    table = bytes(range(256)) * 4
    out = shown(
        native(
            np.array([[0, 257, 1023, 5000]], dtype="u2"),
            photometric="PALETTE COLOR",
            more=palette(8, 0, table, table, table, count=1024),
        )
    )
    assert out[0][0, :, 0].tolist() == [0, 1, 255, 255]


@pytest.mark.parametrize("dtype", ["u2", "i2"])
def test_a_large_frame_is_shown_as_a_small_one_is(dtype: str) -> None:
    table = np.random.default_rng(3).permutation(256).astype(np.uint8).tobytes()
    more = palette(8, 10, table, table[::-1], table, count=256)
    frame = np.resize(np.arange(-50, 400).astype(dtype), (2, 40000))
    (shown_large,) = shown(native(frame, photometric="PALETTE COLOR", more=more))
    (shown_small,) = shown(native(frame[:, :100], photometric="PALETTE COLOR", more=more))
    assert np.array_equal(shown_large[:, :100], shown_small)


def test_a_segmented_palette_is_expanded() -> None:
    """C.7.9.2: discrete 2 (0, 10); linear 4 up to 50; indirect: the first segment again."""
    data = struct.pack("<11H", 0, 2, 0, 10 << 8, 1, 4, 50 << 8, 2, 1, 0, 0)
    more = palette(16, 0, data, data, data, count=8, segmented=True)
    out = shown(native(np.arange(8, dtype="u1").reshape(1, 8), photometric="PALETTE COLOR", more=more))
    assert out[0][0, :, 0].tolist() == [0, 10, 20, 30, 40, 50, 0, 10]


def test_a_segmented_palette_that_repeats_itself_without_end_stops_at_its_size() -> None:
    bomb = struct.pack("<4H", 0, 1, 7, 0) + struct.pack("<4H", 2, 0xFFFF, 0, 0) * 2000
    linear = struct.pack("<3H", 0, 1, 7) + struct.pack("<3H", 1, 0xFFFF, 9) * 5000
    pixels = np.zeros((1, 4), dtype="u2")
    for data in (bomb, linear):
        more = palette(16, 0, data, data, data, count=0, segmented=True)
        tracemalloc.start()
        with contextlib.suppress(CallerError):
            shown(native(pixels, photometric="PALETTE COLOR", more=more))
        assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
        tracemalloc.stop()


@pytest.mark.parametrize(
    "more",
    [
        b"",
        palette(16, 0, b"", b"", b"", count=3),
        palette(16, 0, struct.pack("<3H", 1, 4, 9), b"", b"", count=3, segmented=True),
        palette(16, 0, *[struct.pack("<3H", 9, 4, 9)] * 3, count=3, segmented=True),
        palette(99, 0, *[bytes(6)] * 3, count=3),
    ],
)
def test_a_palette_that_is_none_is_unreadable(more: bytes) -> None:
    with pytest.raises(Unreadable):
        shown(native(np.zeros((1, 4), dtype="u1"), photometric="PALETTE COLOR", more=more))


def test_the_palette_of_a_real_file() -> None:
    frame = shown(sample("examples_palette.dcm"))[0]
    assert frame.shape == (350, 800, 3)
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 20


COLOURS = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (128, 128, 128)]], dtype=np.uint8)
YBR = np.array([[(76, 85, 255), (150, 44, 21)], [(29, 255, 107), (128, 128, 128)]], dtype=np.uint8)


def test_rgb_is_left_alone() -> None:
    assert np.array_equal(shown(native(COLOURS))[0], COLOURS)


def test_ybr_full_becomes_rgb() -> None:
    out = shown(native(YBR, photometric="YBR_FULL"))[0].astype(int)
    assert np.abs(out - COLOURS).max() <= 2


def four_two_two(photometric: str, pairs: bytes) -> np.ndarray:
    header = attributes(1, len(pairs) // 2, samples=3, photometric=photometric, planar=0)
    return shown(file(header + element(0x7FE00010, "OB", pairs)))[0][0].astype(int)


def test_ybr_full_422_shares_chroma_between_two_pixels() -> None:
    out = four_two_two("YBR_FULL_422", bytes([76, 76, 85, 255, 0, 255, 128, 128]))
    assert np.abs(out - [(255, 0, 0), (255, 0, 0), (0, 0, 0), (255, 255, 255)]).max() <= 2


def test_ybr_partial_422_runs_from_16_to_235() -> None:
    out = four_two_two("YBR_PARTIAL_422", bytes([16, 235, 128, 128, 81, 145, 90, 240]))
    assert np.abs(out[0]).max() <= 1
    assert np.abs(out[1] - 255).max() <= 1
    assert np.abs(out[2] - (255, 0, 0)).max() <= 2


@pytest.mark.parametrize(("dtype", "stored"), [("u2", 16), ("u2", 12), ("u4", 32)])
def test_deep_colour_loses_its_low_bits(dtype: str, stored: int) -> None:
    deep = COLOURS.astype(dtype) << (stored - 8)
    assert np.array_equal(shown(native(deep, stored=stored))[0], COLOURS)


def test_shallow_colour_is_stretched() -> None:
    assert shown(native(COLOURS // 255 * 31, stored=5))[0][0, 0].tolist() == [255, 0, 0]


def test_a_palette_ignores_what_a_window_says() -> None:
    table = bytes(range(256))
    more = window(1, 2) + palette(8, 0, table, table, table, count=256)
    out = shown(native(RAMP, photometric="PALETTE COLOR", more=more))[0]
    assert np.array_equal(out[..., 1], RAMP)
