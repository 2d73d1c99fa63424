"""Folders of scans as a hospital keeps them: named for their patients."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom import dcmread
from pydicom.fileset import FileSet

from gateway.batch.journal import NAME as JOURNAL
from tests.support import canaries
from tests.support.deid import KEY, header

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

ROOT = Path(__file__).resolve().parents[2]
PATIENT = "Zxqvoss^Wilhelmine"
"""In every scan's header, and in the names of its folder and file."""


def scan(number: int, *, size: int = 64, frames: int = 1) -> Dataset:
    """A CT slice of PATIENT; each number has other pixels and another SOP Instance UID."""
    ds = header()
    ds.PatientName, ds.PatientID = PATIENT, "MRN-4471-ZXQ"
    ds.SOPInstanceUID = f"1.2.3.4.5.{number}"
    ds.Rows = ds.Columns = size
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    if frames > 1:
        ds.NumberOfFrames = frames
    rng = np.random.default_rng(number)
    ds.PixelData = (rng.integers(0, 60, (frames, size, size), np.uint8) + 20).tobytes()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def scan_bytes(number: int, *, size: int = 64, frames: int = 1) -> bytes:
    """The same as a file."""
    buffer = io.BytesIO()
    scan(number, size=size, frames=frames).save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def planted() -> bytes:
    """An image in which everything that can hold text holds a marked value, see ``canaries.py``; no document in it."""
    trailing = f"{canaries.MARK}Trailing".encode()
    ds = dcmread(io.BytesIO(canaries.dicom().body.removesuffix(trailing)))
    del ds[0x00420011]  # an encapsulated document cannot be looked into, and is refused
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue() + trailing


def scans(folder: Path, count: int) -> Path:
    """So many of them below ``folder``, each in a folder and under a name that say whose they are."""
    for number in range(count):
        path = folder / f"{PATIENT} 1961-11-05" / f"study {number % 3}" / f"{PATIENT}-{number:03}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(scan_bytes(number))
    return folder


def disc(folder: Path, count: int) -> Path:
    """A DICOMDIR and the files that it names; the DICOMDIR's path."""
    files = FileSet()
    for number in range(count):
        ds = scan(number)
        ds.StudyID, ds.SeriesNumber, ds.InstanceNumber, ds.StudyTime = "1", 1, number, "101010"
        files.add(ds)
    files.write(folder)
    files._stage["t"].cleanup()  # else it warns when it is collected
    return folder / "DICOMDIR"


def environment(folder: Path, **more: str) -> dict[str, str]:
    """For ``cordon deid`` with a key of the tests, and its state in ``folder``."""
    named = {"PYTHONPATH": str(ROOT), "DEID_KEY": KEY.decode(), "CORDON_STATE": str(folder / "state")}
    return {name: value for name, value in os.environ.items() if not name.startswith(("DEID", "CORDON"))} | named | more


def command(*words: object) -> list[str]:
    """``cordon deid`` with these words."""
    return [sys.executable, "-m", "gateway.cli", "deid", *map(str, words)]


def deid(folder: Path, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run it in ``folder`` to its end."""
    return subprocess.run(
        command(*words), cwd=folder, env=environment(folder, **more), capture_output=True, text=True, check=False
    )


def outputs(folder: Path) -> dict[str, bytes]:
    """What lies in an output folder by name, but for the journal."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != JOURNAL)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
