"""Whatever bytes come in, ingest answers with frames or with an error for the caller; nothing else comes out."""

import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gateway.errors import CallerError
from gateway.ingest.decode import decode
from gateway.ingest.frames import FrameSelection
from gateway.ingest.upload import Upload
from gateway.settings import IngestSettings
from tests.support.dicom_files import DEFLATED, attributes, element, file, sample

LIMITS = IngestSettings(max_frame_pixels=300_000, max_total_pixels=600_000)


def _raster(kind: str) -> bytes:
    out = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(12, 16))
    picture.save(out, kind, exif=exif)
    return out.getvalue()


def _deflated() -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = attributes(4, 4) + element(0x7FE00010, "OB", bytes(range(16)))
    return file(stream.compress(body) + stream.flush(), DEFLATED)


SEEDS = {
    "deflated": _deflated(),
    "jpeg": _raster("JPEG"),
    "png": _raster("PNG"),
} | {
    name: sample(name)
    for name in (
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_small_odd_jpeg.dcm",
        "SC_rgb_jls_lossy_line.dcm",
        "JPEG-lossy.dcm",
        "SC_rgb_rle_2frame.dcm",
        "UN_sequence.dcm",
        "rtdose.dcm",
        "nested_priv_SQ.dcm",
    )
}


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[str, float, bytes]]:
    """A few places, as shares of the file's length, and what is done there."""
    place = st.one_of(st.floats(0, 1), st.floats(0, 0.1))
    what = st.sampled_from(["overwrite", "insert", "delete", "cut"])
    odd = st.sampled_from(
        [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"SQ", b"UN", b"\x7f"]
    )
    return draw(
        st.lists(st.tuples(what, place, st.one_of(odd, st.binary(min_size=1, max_size=8))), min_size=1, max_size=6)
    )


def edited(data: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for what, share, new in changes:
        at = int(share * len(data))
        match what:
            case "overwrite":
                data = data[:at] + new + data[at + len(new) :]
            case "insert":
                data = data[:at] + new + data[at:]
            case "delete":
                data = data[:at] + data[at + len(new) :]
            case _ if share > 0.5:
                data = data[:at]
    return data


def frames_or_refusal(data: bytes) -> None:
    try:
        image = decode(Upload(data), FrameSelection(), LIMITS)
        for _, frame in image.frames():
            assert frame.dtype == np.uint8
            assert frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 3)
            assert frame.size
    except CallerError as refusal:
        assert refusal.detail  # noqa: PT017 - a refusal is one of the two right answers


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=edits())
def test_a_damaged_file_gives_frames_or_a_named_refusal(name: str, changes: list[tuple[str, float, bytes]]) -> None:
    frames_or_refusal(edited(SEEDS[name], changes))


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=400))
def test_noise_behind_a_file_meta_gives_a_named_refusal(body: bytes) -> None:
    frames_or_refusal(file(body))


@settings(max_examples=200, deadline=None)
@given(
    start=st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\0" * 128 + b"DICM"]), rest=st.binary(max_size=400)
)
def test_noise_behind_a_signature_gives_a_named_refusal(start: bytes, rest: bytes) -> None:
    frames_or_refusal(start + rest)
