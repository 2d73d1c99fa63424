"""``cordon deid`` as an operator runs it, in processes of its own, on real files."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import stat
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont

from gateway.deid.uids import StandIns
from tests.support import canaries
from tests.support.deid import KEY
from tests.support.processes import descendants, within
from tests.support.scans import PATIENT, command, deid, disc, environment, outputs, planted, scan, scan_bytes, scans

OUTPUT = re.compile(
    r"([A-Z2-7]{24}|no-patient)/2\.25\.\d+/2\.25\.\d+/2\.25\.\d+(-[0-9a-f]{8})?\.dcm|pictures/\w+\.(png|jpg)"
)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run over a folder with all kinds of files in it, in ``folder``: in, out, report.json, failed.csv, said."""
    folder = tmp_path_factory.mktemp("everything")
    source = scans(folder / "in", 4)
    marked = source / f"{canaries.MARK}Folder"
    marked.mkdir()
    for name, body in {
        "a.dcm": planted(),
        "b.jpg": canaries.jpeg().body,
        "c.png": canaries.png().body,
        "notes.txt": f"{canaries.MARK}Notes".encode(),
        "broken.dcm": planted()[:-4000],
    }.items():
        (marked / f"{canaries.MARK}Name {name}").write_bytes(body)
    (marked / ".hidden.dcm").write_bytes(scan_bytes(90))
    with zipfile.ZipFile(marked / f"{canaries.MARK}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{PATIENT}/1.dcm", scan_bytes(50))
        archive.writestr(f"{PATIENT}/2.dcm", scan_bytes(51))
        archive.writestr("again.dcm", scan_bytes(0))
    answer = deid(folder, "in", "-o", "out", "--json", "report.json", "--failed", "failed.csv")
    (folder / "said").write_text(f"{answer.returncode}\n{answer.stdout}{answer.stderr}")
    return folder


def report_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "report.json").read_bytes())


def test_every_image_has_an_output_and_the_rest_a_reason(everything: Path) -> None:
    report = report_of(everything)
    assert report["inputs"] == {"done": 9, "before": 0, "again": 1, "skipped": 1, "failed": 1}
    assert report["failed_by_reason"] == {"unsafe-file": 1}
    assert report["whole"] is True
    assert len(outputs(everything / "out")) == 9
    assert (everything / "said").read_text().startswith("1\n")


def test_every_output_is_named_by_stand_ins_and_says_what_it_is(everything: Path) -> None:
    patient = StandIns.of(KEY, "local").patient("MRN-4471-ZXQ", "HOSP")
    for name, data in outputs(everything / "out").items():
        assert OUTPUT.fullmatch(name), name
        if name.endswith(".dcm"):
            ds = pydicom.dcmread(io.BytesIO(data))
            assert ds.PatientIdentityRemoved == "YES"
            assert name.split("/")[0] == (ds.PatientID or "no-patient")
            assert (
                name.split("/")[3].removesuffix(".dcm") == ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
            )
        else:
            Image.open(io.BytesIO(data)).verify()
    assert sum(name.startswith(f"{patient}/") for name in outputs(everything / "out")) == 6


def test_no_name_of_a_patient_folder_or_file_is_in_the_results_or_the_report(everything: Path) -> None:
    needles = {*canaries.dicom().canaries, *canaries.jpeg().canaries, *canaries.png().canaries}
    needles |= {canaries.MARK.encode(), PATIENT.split("^")[0].encode(), b"MRN-4471", b"study 1"}
    shown = everything / "out"
    seen = b"\n".join(os.fsencode(path.relative_to(shown)) for path in shown.rglob("*"))
    seen += b"".join(path.read_bytes() for path in shown.rglob("*") if path.is_file())
    seen += (everything / "report.json").read_bytes() + (everything / "said").read_bytes()
    assert {needle for needle in needles if needle in seen} == set()


def test_the_list_names_the_files_and_is_for_its_owner_alone(everything: Path) -> None:
    path = everything / "failed.csv"
    text = path.read_text(encoding="utf-8")
    assert f"{canaries.MARK}Name broken.dcm" in text
    assert f"{canaries.MARK}Name notes.txt" in text
    assert ".hidden" not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_line_of_the_report_has_its_counts_and_its_digest(everything: Path) -> None:
    files = report_of(everything)["files"]
    assert isinstance(files, list)
    assert len({line["id"] for line in files}) == 12
    done = [line for line in files if line["outcome"] == "done"]
    assert all(line["deidentification"]["policy_digest"] == report_of(everything)["policy_digest"] for line in done)
    assert all((everything / "out" / line["output"]).stat().st_size == line["bytes"] for line in done)


def test_a_second_run_does_nothing_again_and_reports_the_same(everything: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (everything / "out").rglob("*.dcm")}
    answer = deid(everything, "in", "-o", "out", "--json", "-", "--failed", "again.csv")
    report, first = json.loads(answer.stdout), report_of(everything)
    assert report["inputs"] == {"done": 0, "before": 9, "again": 1, "skipped": 1, "failed": 1}
    assert [report[name] for name in ("actions", "groups", "bytes_in", "bytes_out")] == [
        first[name] for name in ("actions", "groups", "bytes_in", "bytes_out")
    ]
    assert {path: path.stat().st_mtime_ns for path in (everything / "out").rglob("*.dcm")} == before


def test_a_disc_gives_the_files_that_its_directory_names_and_no_directory(tmp_path: Path) -> None:
    directory = disc(tmp_path / "disc", 3)
    (directory.parent / "STRAY").write_bytes(scan_bytes(7))
    answer = deid(tmp_path, directory, "-o", "out")
    assert answer.returncode == 0, answer.stderr
    names = outputs(tmp_path / "out")
    assert len(names) == 3
    assert all(OUTPUT.fullmatch(name) for name in names)


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A folder whose ``in`` holds three small files, and before them one that keeps a worker busy for many seconds."""
    (scans(tmp_path / "in", 3) / "0 slow.dcm").write_bytes(scan_bytes(99, size=1024, frames=60))
    return tmp_path


def test_a_file_that_takes_too_long_stops_nothing(slow: Path) -> None:
    answer = deid(slow, "in", "-o", "out", "-j", 1, "--timeout", 6, "--json", "report.json")
    assert answer.returncode == 1, answer.stderr
    assert report_of(slow)["inputs"] == {"done": 3, "before": 0, "again": 0, "skipped": 0, "failed": 1}
    assert report_of(slow)["failed_by_reason"] == {"too-costly": 1}


def test_a_worker_that_dies_stops_nothing(slow: Path) -> None:
    words = command("in", "-o", "out", "-j", 1, "--json", "report.json")
    with subprocess.Popen(words, cwd=slow, env=environment(slow), stdout=subprocess.DEVNULL) as process:
        assert within(60, lambda: any(_seconds(worker) > 3 for worker in descendants(process.pid)))
        (worker,) = descendants(process.pid)
        os.kill(worker, 9)
        assert process.wait(60) == 1
    assert report_of(slow)["inputs"] == {"done": 3, "before": 0, "again": 0, "skipped": 0, "failed": 1}
    assert report_of(slow)["failed_by_reason"] == {"unsafe-file": 1}


def _seconds(pid: int) -> float:
    """Of CPU."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_full_disk_fails_the_files_that_do_not_fit_and_no_others(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for the disk's end: no file larger than it can be written."""
    source = scans(tmp_path / "in", 2)
    (source / "large.dcm").write_bytes(scan_bytes(77, size=256))
    answer = subprocess.run(
        command("in", "-o", "out", "--json", "report.json"),
        cwd=tmp_path,
        env=environment(tmp_path),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1, answer.stderr
    report = report_of(tmp_path)
    assert report["failed_by_reason"] == {"not-written": 1}
    assert len(outputs(tmp_path / "out")) == 2


def test_a_dry_run_writes_nothing_and_hides_every_value(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"{PATIENT}.dcm").write_bytes(planted())
    before = {path.name for path in tmp_path.iterdir()}
    answer = deid(tmp_path, "in", "--dry-run", "--json", "-", DEID_KEY="")
    assert answer.returncode == 0, answer.stderr
    said = (answer.stdout + answer.stderr).encode()
    assert {needle for needle in {*canaries.dicom().canaries, PATIENT.encode()} if needle in said} == set()
    assert {path.name for path in tmp_path.iterdir()} == before
    changes = {(line["tag"], line["action"]): line for line in json.loads(answer.stdout)["changes"]}
    name = changes["(0010,0010)", "replaced"]
    assert (name["name"], name["vr"], name["after"]) == ("Patient's Name", "PN", "name 24")
    assert ("(0008,0018)", "uid") in changes
    assert ("(0028,0010)", "kept") in changes
    assert ("(0012,0062)", "added") in changes


@pytest.mark.parametrize("kind", ["dicom", "png"])
def test_inspect_shows_what_is_masked_and_replaces_no_file(tmp_path: Path, kind: str) -> None:
    image = Image.new("L", (400, 300), 30)
    ImageDraw.Draw(image).text((40, 140), "ZXQVOSS WILHELMINE 1961", fill=220, font=ImageFont.load_default(22))
    if kind == "png":
        image.save(tmp_path / "scan", "PNG")
    else:
        ds = scan(1)
        ds.Rows, ds.Columns, ds.PixelData = 300, 400, image.tobytes()
        ds.save_as(tmp_path / "scan", enforce_file_format=True)
    answer = deid(tmp_path, "inspect", "scan", "-o", "look.png")
    assert answer.returncode == 0, answer.stderr
    assert "holds the original" in answer.stderr
    assert re.search(r"1 +text +\d+ +\d+ +\d+ +\d+", answer.stdout)
    path = tmp_path / "look.png"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape[0] == 300
    left, right = pixels[:, :400], pixels[:, -400:]
    assert left[140:165, 40:300].max() >= 220
    assert right[140:165, 40:300].max() < 60
    assert ((left[..., 0] > 200) & (left[..., 1] < 100)).sum() > 400  # the outline
    assert (right[:100] == 30).all()
    assert deid(tmp_path, "inspect", "scan", "-o", "look.png").returncode == 2
    assert path.stat().st_size > 0
    assert {each.name for each in tmp_path.iterdir()} == {"scan", "look.png"}
