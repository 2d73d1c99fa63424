"""Damaged files through the whole way of an object that is given back: a named error, or a whole and stamped file.

Ten thousand of them are gone through by ``benchmarks/mutations.py``; here are the first of the same.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING

import pydicom
import pytest

from benchmarks import mutations
from gateway.settings import IngestSettings
from tests.support import deid

if TYPE_CHECKING:
    from pathlib import Path

COUNT, COUNT_LOOKED_AT = 1500, 60
LIMITS = IngestSettings(max_frame_pixels=300_000, max_total_pixels=600_000)
MALFORMED = sorted((deid.SHARED / "data" / "dicom").rglob("*")) if deid.SHARED.is_dir() else []


def test_damaged_files_give_a_named_error_or_a_whole_file(tmp_path: Path) -> None:
    engine = deid.header_engine("research", tmp_path)
    came = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom, reading back what strange values it was given
        for number, name, data in mutations.mutants(COUNT, mutations.SEED):
            came[number, name] = mutations.outcome(engine, data, LIMITS)
    assert {case: result for case, (result, right) in came.items() if not right} == {}
    given_back = sum(result == "given back" for result, _ in came.values())
    assert given_back > COUNT / 5
    assert len({result for result, _ in came.values()}) > 5


@pytest.mark.timeout(300)
def test_damaged_files_whose_pixels_are_looked_at(tmp_path: Path) -> None:
    engine = deid.engine(look=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrong = {
            (number, name): result
            for number, name, data in mutations.mutants(COUNT_LOOKED_AT, mutations.SEED + 1)
            for result, right in [mutations.outcome(engine, data, LIMITS)]
            if not right and not result.startswith("hang")  # the clock is the benchmark's: others share this machine
        }
    assert wrong == {}


@pytest.mark.skipif(not MALFORMED, reason="the public DICOM files are not here")
def test_every_public_file_malformed_or_not_gives_a_named_error_or_a_whole_file(tmp_path: Path) -> None:
    engine = deid.header_engine("research", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        came = {
            path.name: mutations.outcome(engine, path.read_bytes(), IngestSettings())
            for path in MALFORMED
            if path.is_file()
        }
    assert {name: result for name, (result, right) in came.items() if not right} == {}
    assert len(came) > 100


def test_the_fuzzer_knows_a_file_that_is_not_whole() -> None:
    assert mutations.fault(b"MZ" + bytes(126) + b"DICM") == "does not begin as a DICOM file"
    (_, _, source), *_ = mutations.mutants(1, 1)
    assert mutations.fault(mutations.seeds()["CT_small.dcm"])
    assert mutations.fault(bytes(128) + b"DICM" + source[132:])


def test_an_object_that_names_several_instances_as_its_own_is_refused(tmp_path: Path) -> None:
    source = pydicom.dcmread(BytesIO(mutations.seeds()["CT_small.dcm"]))
    source.add_new(0x00080018, "UI", ["1.2.3.4", "1.2.3.5"])
    buffer = BytesIO()
    source.save_as(buffer)
    assert mutations.outcome(deid.header_engine("research", tmp_path), buffer.getvalue(), LIMITS)[0] == "NotSanitizable"
