"""The output folder: whole files, names that tell nobody, and a journal that any crash leaves usable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.batch.errors import CannotStart
from gateway.batch.journal import NAME, Entry, Terms
from gateway.batch.marks import Marks
from gateway.batch.names import output_name
from gateway.batch.outputs import Outputs, check_apart
from gateway.deid.image import Pseudonyms
from gateway.ingest.upload import MediaType

TERMS = Terms("basic", "d" * 64, "k" * 32, "t" * 32)
REPORT = {"actions": {"removed": 1}, "groups": {}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def put(outputs: Outputs, number: int, base: str, data: bytes) -> Entry:
    """The input of that number; inputs of equal data have equal content."""
    aside = outputs.write_aside(data)
    content = Marks.of(b"key", "t").content(data)
    return outputs.settle(aside, data, mark=f"{number:032}", content=content, base=base, report=REPORT)


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_an_output_lies_under_its_name_and_is_remembered(folder: Path) -> None:
    with Outputs.open(folder, TERMS) as outputs:
        put(outputs, 1, "P/S/R/I.dcm", b"one")
    with Outputs.open(folder, TERMS) as outputs:
        entry = outputs.done[f"{1:032}"]
    assert files(folder) == {"P/S/R/I.dcm": b"one"}
    assert (entry.name, entry.size, entry.report) == ("P/S/R/I.dcm", 3, REPORT)


def test_the_same_bytes_twice_give_one_output(folder: Path) -> None:
    with Outputs.open(folder, TERMS) as outputs:
        put(outputs, 1, "I.dcm", b"one")
        assert put(outputs, 2, "I.dcm", b"one").again
    assert files(folder) == {"I.dcm": b"one"}
    with Outputs.open(folder, TERMS) as outputs:
        assert [entry.again for entry in outputs.done.values()] == [False, True]


@pytest.mark.parametrize("order", [(b"one", b"two", b"six"), (b"six", b"two", b"one"), (b"two", b"one", b"six")])
@pytest.mark.parametrize("reopened", [False, True])
def test_different_inputs_of_one_identifier_all_stay_whichever_comes_first(
    folder: Path, order: tuple[bytes, ...], reopened: bool
) -> None:
    outputs = Outputs.open(folder, TERMS)
    for number, data in enumerate(order):
        put(outputs, number, "P/I.dcm", data)
        if reopened:
            with outputs:
                pass
            outputs = Outputs.open(folder, TERMS)
    with outputs:
        pass
    marks = Marks.of(b"key", "t")
    assert files(folder) == {f"P/I-{marks.content(data)[:8]}.dcm": data for data in order}
    with Outputs.open(folder, TERMS) as outputs:
        assert {entry.name for entry in outputs.done.values()} == set(files(folder))


def test_what_was_removed_or_cut_is_done_again(folder: Path) -> None:
    with Outputs.open(folder, TERMS) as outputs:
        for number in range(3):
            put(outputs, number, f"{number}.dcm", b"whole")
    (folder / "0.dcm").unlink()
    (folder / "1.dcm").write_bytes(b"who")
    with Outputs.open(folder, TERMS) as outputs:
        assert list(outputs.done) == [f"{2:032}"]


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_line_that_a_crash_cut_short_costs_that_input_alone(folder: Path, cut: int) -> None:
    with Outputs.open(folder, TERMS) as outputs:
        for number in range(3):
            put(outputs, number, f"{number}.dcm", b"%d" % number)
    journal = folder / NAME
    journal.write_bytes(journal.read_bytes()[:-cut])
    with Outputs.open(folder, TERMS) as outputs:
        assert list(outputs.done) == [f"{number:032}" for number in range(2)]
        put(outputs, 2, "2.dcm", b"2")
    assert files(folder) == {f"{number}.dcm": b"%d" % number for number in range(3)}
    assert len(journal.read_bytes().splitlines()) == 4


def test_what_was_written_aside_by_a_killed_run_is_removed(folder: Path) -> None:
    with Outputs.open(folder, TERMS) as outputs:
        put(outputs, 1, "I.dcm", b"one")
    (folder / ".cordon-deid-7.part").write_bytes(b"half")
    with Outputs.open(folder, TERMS):
        pass
    assert files(folder) == {"I.dcm": b"one"}


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        (Terms("basic", "d" * 64, "K" * 32, "T" * 32), "another key"),
        (Terms("basic", "d" * 64, "k" * 32, "T" * 32), "another tenant"),
        (Terms("research", "D" * 64, "k" * 32, "t" * 32), "another policy"),
    ],
)
def test_a_run_under_other_terms_is_refused(folder: Path, terms: Terms, says: str) -> None:
    with Outputs.open(folder, TERMS):
        pass
    with pytest.raises(CannotStart, match=says):
        Outputs.open(folder, terms)


def test_two_runs_do_not_share_a_folder(folder: Path) -> None:
    with Outputs.open(folder, TERMS), pytest.raises(CannotStart, match="Another run"):
        Outputs.open(folder, TERMS)


def test_a_folder_with_other_things_in_it_is_refused(folder: Path) -> None:
    folder.mkdir()
    (folder / "scan.dcm").touch()
    with pytest.raises(CannotStart, match="not empty"):
        Outputs.open(folder, TERMS)
    (folder / NAME).write_text(json.dumps({"something": "else"}) + "\n")
    with pytest.raises(CannotStart, match="not a journal"):
        Outputs.open(folder, TERMS)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match="cannot be made"):
        Outputs.open(tmp_path / "file" / "out", TERMS)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "scan.dcm").touch()
    return tmp_path / "in"


@pytest.mark.parametrize("out", ["in", "in/a", "in/new/deep", ".", "in/../in/a", "link/out"])
def test_an_output_folder_in_an_input_or_around_it_is_refused(tmp_path: Path, inputs: Path, out: str) -> None:
    (tmp_path / "link").symlink_to(inputs)
    with pytest.raises(CannotStart, match="lies in"):
        check_apart(tmp_path / out, [inputs])


def test_an_output_folder_around_a_single_file_is_refused(tmp_path: Path, inputs: Path) -> None:
    with pytest.raises(CannotStart, match="lies in"):
        check_apart(inputs, [inputs / "scan.dcm"])
    check_apart(tmp_path / "out", [inputs, inputs / "scan.dcm"])
    check_apart(tmp_path / "input-clean", [inputs])


_FULL = """
import resource, sys
from pathlib import Path
from gateway.batch.outputs import Outputs
from tests.unit.batch.test_outputs import TERMS, put
with Outputs.open(Path(sys.argv[1]), TERMS) as outputs:
    put(outputs, 1, "1.dcm", b"one")
    room = Path(sys.argv[1], ".cordon-deid.jsonl").stat().st_size + 100
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        put(outputs, 2, "2.dcm", bytes(int(sys.argv[2])))
    except OSError as error:
        print(error.strerror)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    put(outputs, 3, "3.dcm", b"three")
"""


@pytest.mark.parametrize("size", [5000, 10], ids=["no room for the file", "no room for its line"])
def test_a_full_disk_leaves_neither_half_a_file_nor_half_a_line(folder: Path, size: int) -> None:
    """RLIMIT_FSIZE stands for the disk: a write beyond it fails, after the part that fits is written."""
    environment = dict(os.environ) | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    answer = subprocess.run(
        [sys.executable, "-c", _FULL, str(folder), str(size)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert answer.stdout == "File too large\n"
    assert files(folder) == {"1.dcm": b"one", "3.dcm": b"three"}
    with Outputs.open(folder, TERMS) as outputs:
        assert list(outputs.done) == [f"{1:032}", f"{3:032}"]


UIDS = Pseudonyms("A" * 24, "2.25.1", "2.25.2", "2.25.3")


def test_an_output_is_named_by_its_stand_ins() -> None:
    assert output_name(UIDS, MediaType.DICOM, "c" * 32) == f"{'A' * 24}/2.25.1/2.25.2/2.25.3.dcm"
    kept = Pseudonyms(None, "a" * 32, "b" * 32, "d" * 32)
    assert output_name(kept, MediaType.DICOM, "c" * 32) == f"no-patient/{'a' * 32}/{'b' * 32}/{'d' * 32}.dcm"
    assert output_name(Pseudonyms(), MediaType.JPEG, "c" * 32) == f"pictures/{'c' * 32}.jpg"


@pytest.mark.parametrize(
    "uid", ["", "../../etc/passwd", "1.2/3", "1" * 65, "..", "1..2", "DOE^JANE", "1.2\n", "\u0661.2"]
)
def test_no_identifier_of_an_object_makes_a_path(uid: str) -> None:
    """A policy may keep UIDs, and a file can hold anything in their place."""
    kept = Pseudonyms(uid, uid, uid, uid)
    name = output_name(kept, MediaType.DICOM, "c" * 32)
    assert name == f"no-patient/no-study/no-series/{'c' * 32}.dcm"


def test_marks_differ_by_key_tenant_and_purpose() -> None:
    one = Marks.of(b"key", "a")
    assert one == Marks.of(b"key", "a")
    seen = {each.input(b"x") for each in (one, Marks.of(b"key", "b"), Marks.of(b"yek", "a"))}
    seen |= {one.content(b"x"), one.key, one.tenant}
    assert len(seen) == 6
    assert "_secret" not in repr(one)
