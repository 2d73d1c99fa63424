"""A DICOMDIR's records, from the files of the pydicom wheel."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pydicom.data
import pytest

from gateway.batch.kinds import HEAD_BYTES, Kind, kind_of
from gateway.batch.work import references
from gateway.errors import Unreadable

FOLDER = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
KINDS = ("DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-nooffset", "DICOMDIR-reordered")


@pytest.mark.parametrize("name", KINDS)
def test_every_referenced_file_is_named_once(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    assert kind_of(data[:HEAD_BYTES]) is Kind.DIRECTORY
    found = references(data)
    assert len(found) == len(set(found)) > 20
    assert all((FOLDER.joinpath(*components)).is_file() for components in found)


def test_a_record_that_is_not_in_use_names_nothing() -> None:
    directory = pydicom.dcmread(FOLDER / "DICOMDIR")
    before = len(references((FOLDER / "DICOMDIR").read_bytes()))
    record = next(each for each in directory.DirectoryRecordSequence if "ReferencedFileID" in each)
    record.RecordInUseFlag = 0
    buffer = pydicom.filebase.DicomBytesIO()
    directory.save_as(buffer, enforce_file_format=True)
    assert len(references(buffer.getvalue())) == before - 1


@pytest.mark.parametrize("cut", [0.1, 0.3, 0.9])
def test_a_directory_that_breaks_off_is_a_named_error_or_names_no_more_than_it_has(cut: float) -> None:
    data = (FOLDER / "DICOMDIR").read_bytes()
    found: list[tuple[str, ...]] = []
    with suppress(Unreadable):
        found = references(data[: int(len(data) * cut)])
    assert set(found) < set(references(data))


def test_what_is_no_directory_is_refused() -> None:
    with pytest.raises(Unreadable):
        references((FOLDER.parent / "CT_small.dcm").read_bytes())
