"""Step 2 over a folder of public DICOM files, good ones and ones broken on purpose: frames or a named refusal."""

from pathlib import Path
from time import process_time

import pytest

from gateway.errors import CallerError
from gateway.ingest.decode import decode
from gateway.ingest.frames import FrameSelection
from gateway.ingest.upload import Upload
from gateway.settings import IngestSettings

FOLDER = Path(__file__).resolve().parents[3] / "../shared/data/dicom"
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".md")

needs_files = pytest.mark.skipif(not FILES, reason="the folder of public DICOM files is not beside the repository")


def outcome(path: Path, frames: str) -> str:
    try:
        image = decode(Upload(path.read_bytes()), FrameSelection.parse(frames), IngestSettings())
        for _, frame in image.frames():
            assert frame.size
    except CallerError as refusal:
        return refusal.slug
    return "decoded"


@needs_files
def test_every_file_is_decoded_or_refused_by_name(capfd: pytest.CaptureFixture[str]) -> None:
    outcomes: dict[str, set[str]] = {}
    for path in FILES:
        began = process_time()
        outcomes.setdefault(outcome(path, "all"), set()).add(path.name)
        assert process_time() - began < 3, path.name
    assert {slug: len(names) for slug, names in outcomes.items()} == {
        "decoded": 95,
        "no-pixels": 14,
        "unsafe-file": 5,
        "unsupported-media-type": 5,
        "unreadable": 2,
        "image-too-large": 1,
    }
    assert outcomes["unreadable"] == {"meta_missing_tsyntax.dcm", "nested_priv_SQ.dcm"}
    assert outcomes["image-too-large"] == {"examples_ybr_color.dcm"}
    assert capfd.readouterr() == ("", "")


@needs_files
def test_a_cine_of_too_many_frames_is_taken_by_its_middle() -> None:
    (path,) = (path for path in FILES if path.name == "examples_ybr_color.dcm")
    assert outcome(path, "middle") == "decoded"
