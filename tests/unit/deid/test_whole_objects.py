"""Whole objects through the engine: public files bit by bit, peak memory, objects without pixels, what is refused."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import BasicTextSRStorage, EncapsulatedPDFStorage, ExplicitVRLittleEndian

from gateway.deid.fill import without_unused
from gateway.errors import CallerError, ImageTooLarge, NotSanitizable, Unreadable
from gateway.ingest.decode import decode_object
from gateway.ingest.upload import Upload
from gateway.settings import IngestSettings
from tests.support import deid, dicom_files
from tests.support.stored_pixels import EXPLICIT, JPEG, RLE, Form, file, picture, stored

LIMITS = IngestSettings(max_frames=256)
MOST_BYTES = 60_000
WHEEL = Path(pydicom.data.__file__).parent / "test_files"
SHARED = deid.SHARED / "data" / "dicom"


@pytest.fixture(scope="module")
def engine():
    return deid.engine(look=True)


def _files(folder):
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix in ("", ".dcm"))
    return sorted(path for path in found if path.stat().st_size < MOST_BYTES) if folder.is_dir() else []


def _pairs(before, after):
    """Decoded frames of two objects, without unused bits."""
    frames = zip(before.pixels.decoded(), after.pixels.decoded(), strict=True)
    for (_, old, _), (_, new, _) in frames:
        yield without_unused(old, before.pixels.source.header), new


def _check(engine, data):
    """How many frames were changed; None for an object without pixels."""
    before = decode_object(Upload(data), LIMITS)
    out = engine.deidentify_object(before, tenant="a")
    pydicom.dcmread(io.BytesIO(out.data))
    assert out.data[:128] == bytes(128)
    after = decode_object(Upload(out.data), LIMITS)
    if before.pixels is None:
        assert after.pixels is None
        return None
    changed = 0
    for old, new in _pairs(before, after):
        assert new.shape == old.shape
        differs = (old != new) & ((old == old) | (new == new))  # noqa: PLR0124 - not a number
        differs = differs.any(2) if differs.ndim == 3 else differs
        assert len(np.unique(new[differs], axis=0)) <= 1, "masked pixels have one value, and no others are changed"
        changed += bool(differs.any())
    assert changed <= out.report.frames_masked
    assert (changed > 0) <= (out.report.recoded != "")
    return changed


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(WHEEL, id="pydicom"),
        pytest.param(
            SHARED, id="shared", marks=pytest.mark.skipif(not _files(SHARED), reason="the public files are not here")
        ),
    ],
)
def test_public_files_change_where_they_are_masked_and_nowhere_else(engine, folder):
    changed, refused = {}, {}
    for path in _files(folder):
        try:
            changed[path.name] = _check(engine, path.read_bytes())
        except CallerError as refusal:
            refused[path.name] = refusal.slug
    assert len(changed) > 30
    assert sum(frames is not None and frames > 0 for frames in changed.values()) >= 1
    assert set(refused.values()) <= {
        "image-too-large", "no-pixels", "not-sanitizable", "unreadable", "unsafe-file", "unsupported-media-type",
        "unsupported-transfer-syntax",
    }  # fmt: skip


@pytest.mark.parametrize(
    "form",
    [
        Form("native", 0, bits=12, allocated=16),
        Form("rle", 0, bits=12, allocated=16, syntax=RLE),
        Form("jpeg", 0, photometric="YBR_FULL_422", syntax=JPEG),
    ],
    ids=lambda form: form.name,
)
def test_the_peak_of_memory_is_below_three_times_the_decoded_object(engine, form):
    one, other = stored(form, picture()), stored(form, picture(at=(20, 120)))
    engine.deidentify_object(decode_object(Upload(file(form, [one])), LIMITS), tenant="a")
    data = file(form, [one, other] * 100)
    decoded = 200 * one.nbytes
    tracemalloc.start()
    out = engine.deidentify_object(decode_object(Upload(data), LIMITS), tenant="a")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert out.report.frames_masked == 200
    assert out.report.frames_looked_at == 2
    assert len(data) + peak < 3 * decoded


def _part10(sop_class, **attributes):
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = sop_class, "1.2.3.4", "SR"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.PatientName = "1.2.3", "1.2.3.1", "Zauberwald^Annegret"
    for name, value in attributes.items():
        setattr(ds, name, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def test_an_object_without_pixels_is_given_back_and_nothing_is_claimed_of_pixels(engine):
    out = engine.deidentify_object(decode_object(Upload(_part10(BasicTextSRStorage)), LIMITS), tenant="a")
    ds = pydicom.dcmread(io.BytesIO(out.data))
    assert b"Zauberwald" not in out.data
    assert "BurnedInAnnotation" not in ds
    assert (out.report.risk, out.report.frames_looked_at) == ("", 0)


def test_an_encapsulated_document_is_refused_by_name(engine):
    data = _part10(EncapsulatedPDFStorage, EncapsulatedDocument=b"%PDF-1.4 Zauberwald", Modality="DOC")
    with pytest.raises(NotSanitizable, match=r"encapsulated document \(0042,0011\)"):
        engine.deidentify_object(decode_object(Upload(data), LIMITS), tenant="a")


def test_a_high_bit_that_contradicts_bits_stored_is_refused(engine):
    form = Form("", 0, bits=12, allocated=16)
    data = file(form, [stored(form, picture())], HighBit=15)
    with pytest.raises(NotSanitizable, match=r"\(0028,0102\)"):
        engine.deidentify_object(decode_object(Upload(data), LIMITS), tenant="a")


def test_fewer_frames_than_promised_are_refused(engine):
    form = Form("", 0, syntax=RLE)
    data = file(form, [stored(form, picture(line=""))] * 2, NumberOfFrames=3)
    with pytest.raises(Unreadable):
        engine.deidentify_object(decode_object(Upload(data), LIMITS), tenant="a")


@pytest.mark.parametrize("limit", [{"max_frames": 1}, {"max_total_pixels": 192 * 256}, {"max_frame_pixels": 1000}])
def test_objects_beyond_a_limit_are_refused_in_words_that_help(limit):
    form = Form("", 0)
    data = file(form, [stored(form, picture(line=""))] * 2)
    with pytest.raises(ImageTooLarge) as caught:
        decode_object(Upload(data), LIMITS.model_copy(update=limit))
    assert caught.value.members["limit"] == next(iter(limit.values()))
    assert "frames=" not in caught.value.detail  # there is no choice of frames here


def test_frames_beyond_the_promised_number_do_not_go_on(engine):
    form = Form("", 0, syntax=RLE)
    data = file(form, [stored(form, picture(line=""))] * 3, NumberOfFrames=2)
    out = engine.deidentify_object(decode_object(Upload(data), LIMITS), tenant="a")
    assert len(list(decode_object(Upload(out.data), LIMITS).pixels.decoded())) == 2
    assert len(out.data) < len(data)


def test_bytes_behind_native_pixels_do_not_go_on(engine):
    values = stored(Form("", 0), picture(line=""))
    pixels = dicom_files.element(0x7FE00010, "OB", values.tobytes() + bytes(50))
    head = dicom_files.text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7\0") + dicom_files.text(
        0x00080018, "UI", "1.2.3.4.5\0"
    )
    body = head + dicom_files.attributes(*values.shape) + pixels + dicom_files.element(0xFFFCFFFC, "OB", b"Zauberwald")
    out = engine.deidentify_object(decode_object(Upload(dicom_files.file(body, EXPLICIT)), LIMITS), tenant="a")
    assert b"Zauberwald" not in out.data
    assert out.data.endswith(values.tobytes())


def test_the_same_object_gives_the_same_bytes(engine):
    form = Form("", 0, bits=12, allocated=16)
    data = file(form, [stored(form, picture())])
    first, second = (engine.deidentify_object(decode_object(Upload(data), LIMITS), tenant="a") for _ in range(2))
    assert first.data == second.data
