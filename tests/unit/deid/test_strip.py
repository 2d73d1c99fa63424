"""Compressed frames without what is not picture."""

from __future__ import annotations

import contextlib
import io
import struct

import numpy as np
import pytest
from PIL import Image

from gateway.deid.strip import strip_jpeg, strip_jpeg2000
from gateway.errors import Unreadable
from tests.support.stored_pixels import JPEG_2000, JPEG_LS, Form, compressed, picture

SECRET = b"Zauberwald"


def _jpeg(**options):
    out = io.BytesIO()
    Image.fromarray(np.dstack([picture(), picture(), picture()])).save(out, "JPEG", **options)
    return out.getvalue()


def _segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("marker", [0xE0, 0xE1, 0xE2, 0xE5, 0xED, 0xEE, 0xEF, 0xFE, 0xF1, 0xF0])
def test_a_jpegs_segments_go_and_its_picture_stays(progressive, marker):
    plain = _jpeg(progressive=progressive)
    data = plain[:2] + _segment(marker, SECRET * 3) + plain[2:] + SECRET
    clean = strip_jpeg(data)
    assert SECRET not in clean
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(clean))), np.asarray(Image.open(io.BytesIO(plain))))


def test_segments_between_scans_go():
    plain = _jpeg(progressive=True)
    second = plain.index(b"\xff\xda", plain.index(b"\xff\xda") + 2)
    clean = strip_jpeg(plain[:second] + _segment(0xFE, SECRET) + plain[second:])
    assert clean == strip_jpeg(plain)


def test_a_thumbnail_in_jfif_goes_and_what_adobe_says_of_colour_stays():
    plain = _jpeg()
    jfif = b"JFIF\0\1\1\0\0\1\0\1\4\1" + SECRET + b"\0" * 2
    adobe = b"Adobe\0\x64\0\0\0\0\1" + SECRET
    clean = strip_jpeg(b"\xff\xd8" + _segment(0xE0, jfif) + _segment(0xEE, adobe) + plain[20:])
    assert SECRET not in clean
    assert clean.startswith(b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\1\xff")


def test_jpeg_ls_is_read_by_its_own_rules():
    frame = compressed(Form("", 0, syntax=JPEG_LS), picture())
    data = frame[:2] + _segment(0xFE, SECRET) + _segment(0xE8, b"SPIFF\0" + SECRET) + frame[2:]
    assert strip_jpeg(data, lossless_ls=True) == strip_jpeg(frame, lossless_ls=True)
    assert SECRET not in strip_jpeg(data, lossless_ls=True)


def test_a_jpeg_2000s_comments_are_overwritten_and_nothing_moves():
    frame = compressed(Form("", 0, syntax=JPEG_2000), picture())
    comment = _segment(0x64, b"\0\1" + SECRET)
    siz = 2 + 2 + struct.unpack(">H", frame[4:6])[0]
    clean = strip_jpeg2000(frame[:siz] + comment + frame[siz:] + SECRET)
    assert SECRET not in clean
    assert b"OpenJPEG" not in clean
    assert len(clean) == len(frame) + len(comment)


def test_of_a_jp2_file_the_codestream_goes_on():
    frame = compressed(Form("", 0, syntax=JPEG_2000), picture())
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">L", 18) + b"xml " + SECRET
    clean = strip_jpeg2000(boxes + struct.pack(">L", len(frame) + 8) + b"jp2c" + frame)
    assert clean == strip_jpeg2000(frame)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\0", b"\xff\xd8\xff\xfe\xff\xff", b"no picture"])
def test_what_is_no_codestream_is_named(data):
    with pytest.raises(Unreadable):
        strip_jpeg(data)
    with pytest.raises(Unreadable):
        strip_jpeg2000(data)


def test_every_cut_and_every_flip_ends_in_a_codestream_or_an_error():
    rng = np.random.default_rng(3)
    frames = (_jpeg(progressive=True), compressed(Form("", 0, syntax=JPEG_2000), picture()))
    for frame, strip in zip(frames, (strip_jpeg, strip_jpeg2000), strict=True):
        for _ in range(300):
            broken = bytearray(frame[: rng.integers(2, len(frame))])
            broken[rng.integers(2, max(len(broken), 3)) % len(broken)] = rng.integers(256)
            with contextlib.suppress(Unreadable):
                assert strip(bytes(broken))[:1] == b"\xff"
