"""Steps 2 and 3: large frames are coded in parts, to the same values, in little memory beside their own."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from gateway.deid.recode import Recoder
from gateway.errors import Unreadable
from gateway.ingest import codecs
from gateway.ingest.codecs import PixelSource
from gateway.ingest.guard import fence
from gateway.ingest.header import PixelHeader
from gateway.ingest.part10 import read_file
from gateway.ingest.syntax import transfer_syntax
from gateway.ingest.tiles import layout
from gateway.settings import IngestSettings
from tests.support.dicom_files import sample
from tests.support.large_frames import header_of

RLE, JPEG_LS, JPEG_2000, HTJ2K, HTJ2K_LOSSY = (
    f"1.2.840.10008.1.2.{end}" for end in ("5", "4.80", "4.90", "4.201", "4.203")
)
SIDE = 2048
ROOT = Path(__file__).resolve().parents[3]


def recoder_of(stored: np.ndarray, syntax: str, bits: int) -> Recoder:
    header = header_of(stored, bits)
    recoder = Recoder.of(PixelSource(header, transfer_syntax(syntax), b"", "OB"), header.photometric)
    assert recoder.syntax.uid == syntax
    return recoder


def picture(kind: str, shape: tuple[int, ...], bits: int) -> np.ndarray:
    lowest, highest = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if kind[0] == "i" else (0, (1 << bits) - 1)
    steps = np.random.default_rng(1).integers(-9, 10, shape)
    values = np.clip(lowest + 3 * np.arange(shape[1])[None, :, *[None] * (len(shape) - 2)] + steps, lowest, highest)
    values[0, 0] = highest
    return values.astype(kind)


@pytest.fixture
def all_large(monkeypatch):
    monkeypatch.setattr("gateway.ingest.codecs.LARGE", 0)
    monkeypatch.setattr("gateway.deid.recode.LARGE", 0)


@pytest.mark.usefixtures("all_large")
@pytest.mark.parametrize("syntax", [RLE, JPEG_LS, JPEG_2000])
@pytest.mark.parametrize(
    ("kind", "shape", "bits"),
    [
        ("u2", (700, 1100), 12),
        ("i2", (513, 511), 12),
        ("u1", (1025, 600, 3), 8),
        ("u2", (40, 1030), 16),
        ("u1", (65, 70), 8),
    ],
)
def test_what_is_written_is_read_back(syntax, kind, shape, bits):
    stored = picture(kind, shape, bits)
    recoder = recoder_of(stored, syntax, bits)
    back, _ = recoder.decode(recoder.encode(stored))
    assert back.dtype == stored.dtype
    assert np.array_equal(back, stored)


def test_jpeg_ls_without_an_end_is_refused_before_it_is_decoded():
    """Of these few bytes CharLS would read bits for some seconds."""
    frame = bytes.fromhex("ffd8fff7000b08002d000a01011100ffda0008010100020000e7fdff7f00000071f77fe4b7ff7c1cff7f052ffb")
    source = PixelSource(header_of(np.zeros((45, 10), np.uint8), 8), transfer_syntax(JPEG_LS), b"", "OB")
    with pytest.raises(Unreadable, match="no end"):
        source.decode_encoded(frame)
    with pytest.raises(Unreadable, match="cannot be decoded"), fence("A frame cannot be decoded"):
        source.decode_encoded(frame + b"\xff\xd9")


def test_jpeg_ls_declares_bits_stored():
    stored = picture("u2", (64, 80), 12)
    frame = bytes(recoder_of(stored, JPEG_LS, 12).encode(stored))
    assert frame[:5] == b"\xff\xd8\xff\xf7\0"
    assert frame[6] == 12


@pytest.mark.parametrize(
    "name",
    [
        "693_J2KI.dcm",
        "JPEG2000.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "MR_small_jp2klossless.dcm",
        "examples_jpeg2k.dcm",
        "GDCMJ2K_TextGBR.dcm",
        "SC_rgb_rle_16bit.dcm",
        "MR_small_RLE.dcm",
    ],
)
def test_a_frame_is_the_same_in_parts(name, monkeypatch):
    file = read_file(sample(name), IngestSettings())
    header = PixelHeader.read(file.dataset, file.pixels)
    source = PixelSource.of(file.data, file.pixels, header, file.syntax, None)
    with fence("read"):
        expected, photometric = source.decode(1)
        monkeypatch.setattr(codecs, "LARGE", 0)
        found, other = source.decode(1)
    assert (found.dtype, found.shape, other) == (expected.dtype, expected.shape, photometric)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("kind", "shape", "bits", "least"),
    [
        ("u1", (120, 90, 3), 8, 1),
        ("i1", (80, 70), 8, 1),
        ("u2", (90, 80), 12, 1),
        ("i2", (90, 80), 12, 1),
        ("u2", (90, 80), 16, 4),
    ],
)
def test_lossy_high_throughput_is_clipped_as_by_the_other_decoder(kind, shape, bits, least):
    ends = np.iinfo(kind)
    stored = np.where(np.random.default_rng(1).random(shape) < 0.5, ends.min, ends.max).astype(kind)
    frame = bytearray(imagecodecs.htj2k_encode(stored, level=0.01, reversible=False))
    for component in range(len(shape) // 3 * 3 or 1):  # the encoder declares all bits: fewer make all values smaller
        frame[42 + 3 * component] -= 8 * stored.dtype.itemsize - bits
    expected = imagecodecs.jpeg2k_decode(bytes(frame))
    source = PixelSource(header_of(stored, bits), transfer_syntax(HTJ2K_LOSSY), b"", "OB")
    found = source._large_jpeg_2000(bytes(frame))
    assert found.dtype == stored.dtype
    assert np.abs(found.astype(int) - expected).max() <= least
    assert found.max() == expected.max() == 2 ** (bits - (kind[0] == "i")) - 1


@pytest.mark.usefixtures("all_large")
@pytest.mark.parametrize("syntax", [RLE, JPEG_LS, JPEG_2000, HTJ2K])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_frame_that_breaks_off_is_refused(syntax, share):
    stored = picture("u2", (300, 200), 12)
    if syntax == HTJ2K:
        frame = imagecodecs.htj2k_encode(stored, reversible=True)
    else:
        frame = recoder_of(stored, syntax, 12).encode(stored)
    source = PixelSource(header_of(stored, 12), transfer_syntax(syntax), b"", "OB")
    with pytest.raises(Unreadable), fence("A frame cannot be decoded"):
        source.decode_encoded(bytes(frame)[: int(share * len(frame))])


def test_the_layout_of_a_codestream_is_told_from_all_of_its_headers():
    stored = picture("u2", (300, 200), 12)
    plain = bytes(imagecodecs.jpeg2k_encode(stored, 0, codecformat="j2k", reversible=True, bitspersample=12))
    found = layout(plain)
    assert (found.rows, found.columns, found.components, found.precision) == (300, 200, 1, 12)
    assert found.one_tile
    assert found.reversible
    assert not found.high_throughput
    assert layout(bytes(imagecodecs.htj2k_encode(stored, reversible=True))).high_throughput
    coding = plain.index(b"\xff\x52")
    own = plain[coding : coding + 14]
    other = own[:12] + b"\x40" + own[13:]
    part = plain.index(b"\xff\x90")
    mixed = plain[: part + 12] + other + plain[part + 12 :]
    length = int.from_bytes(mixed[part + 6 : part + 10], "big") + len(other)
    mixed = mixed[: part + 6] + length.to_bytes(4, "big") + mixed[part + 10 :]
    assert layout(mixed) is None
    assert layout(plain[:60]) is None
    assert layout(b"") is None


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel tells no peak that can be reset")
def test_no_codec_takes_several_times_a_large_frame():
    """Above what is there before: the frame itself, and what its codec takes beside it. Tracers see none of that."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=120
    )
    peaks = json.loads(done.stdout)
    assert set(peaks) == {RLE, JPEG_LS, JPEG_2000, HTJ2K}
    assert all(decoded < 2.6 for decoded, _ in peaks.values()), peaks
    assert all(encoded < 2.0 for _, encoded in peaks.values()), peaks


def _peaks() -> dict[str, tuple[float, float]]:
    """Peaks of decoding and of encoding, in frames, by transfer syntax."""
    from gateway.isolation import give_memory_back

    give_memory_back()
    stored = picture("u2", (SIDE, SIDE), 12)
    found = {}
    for syntax in (RLE, JPEG_LS, JPEG_2000, HTJ2K):
        for part in (stored[:64, :64].copy(), stored):  # the first loads the codec
            encoded = 0.0
            if syntax == HTJ2K:
                frame = imagecodecs.htj2k_encode(part, reversible=True)
            else:
                header = replace(header_of(stored, 12), rows=part.shape[0], columns=part.shape[1])
                recoder = Recoder.of(PixelSource(header, transfer_syntax(syntax), b"", "OB"), header.photometric)
                encoded, frame = _peak(lambda recoder=recoder, part=part: recoder.encode(part), part.nbytes)
            source = PixelSource(header_of(part, 12), transfer_syntax(syntax), b"", "OB")
            decoded, _ = _peak(lambda source=source, frame=frame: source.decode_encoded(frame), part.nbytes)
            found[syntax] = (decoded, encoded)
    return found


def _peak(work, size):
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    before = _memory("VmRSS")
    result = work()
    return (_memory("VmHWM") - before) / size, result


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_peaks()))
