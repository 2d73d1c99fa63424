"""No marked value, and no name of a public test file, is in the bytes of a de-identified object."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest

from gateway.errors import NotSanitizable
from tests.support import canaries, deid

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

PUBLIC = deid.SHARED / "data" / "dicom"
FILES = sorted(path for path in PUBLIC.rglob("*") if path.is_file() and path.suffix != ".md") if PUBLIC.is_dir() else []


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return deid.engine(folder=tmp_path_factory.mktemp("policy"))


def _written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    for keyword in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID"):
        if keyword not in dataset.file_meta:  # some public files have none
            setattr(dataset.file_meta, keyword, "1.2")
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)  # save_as does not turn big endian into little
    return buffer.getvalue()


def test_no_marked_value_is_written(engine):
    planted = canaries.dicom()
    source = pydicom.dcmread(io.BytesIO(planted.body), stop_before_pixels=True)
    out = engine.deidentify(deid.image(source), tenant="a")
    written = _written(out.dataset)
    assert len(written) > 1000
    assert canaries.found(planted.canaries, written) == []
    assert canaries.found(planted.canaries, repr(out).encode() + repr(out.report.as_json()).encode()) == []


@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
def test_marked_values_do_not_pass_in_either_encoding(engine, implicit):
    planted = canaries.dicom()
    source = pydicom.dcmread(io.BytesIO(planted.body), stop_before_pixels=True)
    buffer = io.BytesIO()
    del source.file_meta
    source.save_as(buffer, implicit_vr=implicit, little_endian=True)
    buffer.seek(0)
    again = pydicom.dcmread(buffer, force=True, stop_before_pixels=True)
    assert canaries.found(planted.canaries, _written(engine.deidentify(deid.image(again), tenant="a").dataset)) == []


def _names(dataset: Dataset) -> set[str]:
    """Every person name of three characters or more, at every depth, private ones included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = set()
        for element in dataset.iterall():
            if element.VR == "PN" and element.value:
                values = element.value if element.VM > 1 else [element.value]
                found |= {str(value) for value in values if len(str(value)) >= 3}
    return found


@pytest.mark.skipif(not FILES, reason="the public DICOM files are not here")
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_name_of_a_public_file_is_written(engine, path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            source = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            names = _names(source)
        except Exception as error:  # noqa: BLE001 - pydicom raises nearly anything
            pytest.skip(f"pydicom cannot read it: {type(error).__name__}")
        try:
            out = engine.deidentify(deid.image(source, [np.zeros((8, 8), np.uint8)]), tenant="a").dataset
        except NotSanitizable:
            return
        written = _written(out)
        left = _names(out) - {"REMOVED"}
    assert not left & names
    for name in names:
        for codec in ("utf-8", "latin-1", "utf-16-le", "shift_jis", "iso2022_jp", "iso8859-5", "euc_kr"):
            assert name.encode(codec, "ignore") not in written or not name.encode(codec, "ignore")
