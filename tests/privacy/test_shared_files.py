"""Every public DICOM file, de-identified whole: nothing of its patient in any byte, and a conformant file comes out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import warnings
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom
import pydicom.data
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.uid import DeflatedExplicitVRLittleEndian, UID_dictionary

from gateway.errors import GatewayError
from gateway.ingest.decode import decode_object
from gateway.ingest.upload import Upload
from gateway.settings import IngestSettings
from tests.support import deid, dicom_validator_tables
from tests.support.identifying import elements, found_in, identifiers, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.deid.engine import DeidEngine

SHARED = deid.SHARED / "data" / "dicom"
WHEEL = Path(pydicom.data.__file__).parent / "test_files"
POLICIES = ("basic", "research", "longitudinal")
KEEPS_DATES = ("longitudinal",)
DCIODVFY = os.environ.get("DCIODVFY") or shutil.which("dciodvfy")


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in {".dcm", ""})


FILES = {"shared": _files(SHARED), "wheel": _files(WHEEL)}
_ALREADY = {path.read_bytes() for path in FILES["shared"]}
FILES["wheel"] = [path for path in FILES["wheel"] if path.read_bytes() not in _ALREADY]
PARAMETERS = [
    pytest.param(
        name, policy, marks=pytest.mark.skipif(not files, reason="the public DICOM files are not here")
    )
    for name, files in FILES.items()
    for policy in POLICIES
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a set of files under a policy."""

    outputs: dict[Path, bytes] = field(default_factory=dict)
    refused: dict[Path, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DeidEngine]:
    folder = tmp_path_factory.mktemp("policies")
    return {policy: deid.header_engine(policy, folder) for policy in POLICIES}


@pytest.fixture(scope="module")
def done(engines: dict[str, DeidEngine]) -> dict[tuple[str, str], Done]:
    results: dict[tuple[str, str], Done] = {}
    for name, files in FILES.items():
        for policy, engine in engines.items():
            result = results[name, policy] = Done()
            for path in files:
                try:
                    found = decode_object(Upload(path.read_bytes()), IngestSettings(max_frames=512))
                    result.outputs[path] = engine.deidentify_object(found, tenant="a").data
                except GatewayError as error:
                    result.refused[path] = type(error).__name__
    return results


@pytest.mark.parametrize(("name", "policy"), PARAMETERS)
def test_most_files_come_back(done: dict[tuple[str, str], Done], name: str, policy: str) -> None:
    result = done[name, policy]
    assert len(result.outputs) > 0.75 * len(FILES[name])


@pytest.mark.parametrize(("name", "policy"), PARAMETERS)
def test_no_identifying_value_of_the_input_is_in_the_output(
    done: dict[tuple[str, str], Done], name: str, policy: str
) -> None:
    looked_for, left = 0, []
    for path, data in done[name, policy].outputs.items():
        texts = identifiers(read(path.read_bytes()), dates=policy not in KEEPS_DATES)
        looked_for += len(texts)
        left += [(path.name, text) for text in found_in(_inflated(data), texts)]
    assert looked_for > 200
    assert left == []


@pytest.mark.parametrize(("name", "policy"), PARAMETERS)
def test_what_comes_out_is_a_whole_clean_file(done: dict[tuple[str, str], Done], name: str, policy: str) -> None:
    for path, data in done[name, policy].outputs.items():
        assert data[:132] == bytes(128) + b"DICM", path.name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of values that the sender wrote badly and that are kept
            dataset = pydicom.dcmread(BytesIO(data))
            dataset.decode()
            list(elements(dataset))
        meta = dataset.file_meta
        assert meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID, path.name
        assert meta.MediaStorageSOPClassUID == dataset.SOPClassUID, path.name
        assert {element.tag.group for element in meta} == {2}, path.name
        assert not {0x00020016, 0x00020017, 0x00020018, 0x00020100, 0x00020102} & set(meta.keys()), path.name
        assert dataset.PatientIdentityRemoved == "YES", path.name
        assert dataset.DeidentificationMethodCodeSequence[0].CodeValue == "113100", path.name
        assert dataset.LongitudinalTemporalInformationModified in {"REMOVED", "MODIFIED", "UNMODIFIED"}, path.name
        assert list(dataset.keys()) == sorted(dataset.keys()), path.name
        assert _ends_with_its_last_element(data), path.name


@pytest.mark.parametrize(("name", "policy"), PARAMETERS)
def test_one_uid_becomes_one_uid_in_all_files(done: dict[tuple[str, str], Done], name: str, policy: str) -> None:
    became: dict[str, set[str]] = defaultdict(set)
    for path, data in done[name, policy].outputs.items():
        before, after = read(path.read_bytes()), read(data)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            if before.get(keyword) and keyword in after and before[keyword].value not in UID_dictionary:
                became[str(before[keyword].value)].add(str(after[keyword].value))
    assert len(became) > 50
    assert all(len(new) == 1 for new in became.values())
    assert len(set.union(*became.values())) == len(became)
    assert all(uid.startswith("2.25.") for new in became.values() for uid in new)


@pytest.mark.skipif(not DCIODVFY, reason="dciodvfy (Debian: dicom3tools) is not here; DCIODVFY names it")
@pytest.mark.parametrize(("name", "policy"), PARAMETERS)
def test_a_validator_finds_no_error_that_the_input_did_not_have(
    done: dict[tuple[str, str], Done], name: str, policy: str, tmp_path: Path
) -> None:
    worse, valid = {}, 0
    for path, data in done[name, policy].outputs.items():
        file = tmp_path / "out.dcm"
        file.write_bytes(data)
        new = _errors(file) - _of_input(_errors, path)
        valid += not new
        if new:
            worse[path.name] = sorted(new)
    assert valid > 50
    assert worse == {}


@pytest.mark.parametrize(("name", "policy"), PARAMETERS)
def test_dicom_validator_finds_no_error_that_the_input_did_not_have(
    done: dict[tuple[str, str], Done], name: str, policy: str, tmp_path: Path
) -> None:
    worse, known = {}, 0
    for path, data in done[name, policy].outputs.items():
        file = tmp_path / "out.dcm"
        file.write_bytes(data)
        before, after = _of_input(dicom_validator_tables.errors, path), dicom_validator_tables.errors(file)
        known += ("file", "", "UnknownSOPClass") not in after
        if after - before:
            worse[path.name] = after - before
    assert known > 50
    assert worse == {}


def test_dicom_validator_finds_what_is_missing(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(WHEEL / "CT_small.dcm")
    del dataset.Modality
    dataset.save_as(tmp_path / "without.dcm")
    new = dicom_validator_tables.errors(tmp_path / "without.dcm") - dicom_validator_tables.errors(
        WHEEL / "CT_small.dcm"
    )
    assert {(tag, kind) for _, tag, kind in new} == {("(0008,0060)", "TagMissing")}


@cache
def _of_input(find: Callable[[Path], set[Any]], path: Path) -> set[Any]:
    """Errors of a file that stays as it is: found once for all policies."""
    return find(path)


def _errors(path: Path) -> set[str]:
    """The kinds of errors that dciodvfy finds: which rule and attribute, without UIDs, values and item numbers.

    Burned In Annotation is left out: where pixels are not looked at, as here, nobody's word on them is given.
    """
    run = subprocess.run([str(DCIODVFY), str(path)], check=False, capture_output=True, timeout=60)
    errors = (line for line in run.stderr.decode("latin-1").splitlines() if line.startswith("Error"))
    kinds = {re.sub(r"[\d.]{10,}|UID [\d.]+|\[\d+\]|= <[^>]*>", "", line) for line in errors}
    return {kind for kind in kinds if not re.search(r"Burned ?In", kind)}


def _inflated(data: bytes) -> bytes:
    """The file with its data set inflated, where it is deflated."""
    if DeflatedExplicitVRLittleEndian.encode() not in data[:1024]:
        return data
    length = int.from_bytes(data[140:144], "little")
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = stream.decompress(data[144 + length :])
    assert stream.unused_data in (b"", b"\0")  # padded to an even length (PS3.5 A.5)
    return data[: 144 + length] + inflated


def _ends_with_its_last_element(data: bytes) -> bool:
    """No byte follows the last element: what would, pydicom reads as one more element, or cannot read."""
    last = list(pydicom.dcmread(BytesIO(data)).values())[-1]
    if isinstance(last, RawDataElement) and last.length != 0xFFFFFFFF:
        # Of deflated data pydicom counts from the start of the data set.
        deflated = DeflatedExplicitVRLittleEndian.encode() in data[:1024]
        start = 144 + int.from_bytes(data[140:144], "little") if deflated else 0
        return int(last.value_tell) + int(last.length) == len(_inflated(data)) - start
    return data.endswith(bytes.fromhex("FEFFDDE000000000"))
