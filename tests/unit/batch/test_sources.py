"""What is found below the paths that an operator names, and what is not."""

from __future__ import annotations

import os
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from gateway.batch.errors import NotTaken
from gateway.batch.items import Item, Refusal
from gateway.batch.sources import Sources, inside
from gateway.batch.zips import Archives
from gateway.errors import Unreadable
from tests.support.users import unprivileged, unprivileged_folder

DICOM = bytes(128) + b"DICM" + b"rest"
DIRECTORY = bytes(128) + b"DICM" + b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"


def find(*paths: Path, references: list[tuple[str, ...]] | None = None) -> tuple[list[str], dict[str, str]]:
    """The images, in their order, and the others' reasons by name."""

    def parse(_: bytes) -> list[tuple[str, ...]]:
        if references is None:
            raise Unreadable("The DICOMDIR cannot be read")
        return references

    with closing(Archives()) as archives:
        found = list(Sources(archives, parse, 10_000).find(paths))
    others = {Path(each.shown).name: each.why.slug for each in found if isinstance(each, Refusal)}
    return [Path(item.path).name for item in found if isinstance(item, Item)], others


def write(folder: Path, *names: str, data: bytes = DICOM) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def test_a_folder_is_walked_in_the_order_of_its_names(tmp_path: Path) -> None:
    write(tmp_path, "b/2", "b/1", "a/9", "c")
    assert find(tmp_path) == (["9", "1", "2", "c"], {})


def test_what_is_no_image_is_named_with_its_reason(tmp_path: Path) -> None:
    write(tmp_path, "image", ".hidden", ".git/image")
    write(tmp_path, "notes.txt", data=b"hello")
    write(tmp_path, "empty", data=b"")
    write(tmp_path, "DICOMDIR", data=DIRECTORY)
    write(tmp_path, "bare", data=b"\x08\x00\x16\x00UI\x1a\x001.2.840.10008.5.1.4.1.1.7\0")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "image")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert find(tmp_path) == (
        ["image"],
        {
            "notes.txt": "not-an-image",
            "empty": "not-an-image",
            "DICOMDIR": "dicomdir",
            "bare": "no-file-meta",
            "pipe": "not-a-file",
            "link": "link",
            "loop": "link",
        },
    )


def test_a_zip_in_a_folder_is_opened_whatever_it_is_called(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "study.bin", "w") as file:
        file.writestr("a", DICOM)
    assert find(tmp_path) == (["study.bin"], {})


def test_what_is_named_twice_is_done_once(tmp_path: Path) -> None:
    write(tmp_path, "a/1", "a/2")
    assert find(tmp_path / "a" / "1", tmp_path, tmp_path / "a")[0] == ["1", "2"]


def test_what_cannot_be_read_is_listed_and_the_rest_is_found() -> None:
    with unprivileged_folder() as folder:
        write(folder, "a", "locked/b", "secret")
        (folder / "a").chmod(0o644)  # whatever the umask
        (folder / "locked").chmod(0)
        (folder / "secret").chmod(0)
        with unprivileged():
            assert find(folder) == (["a"], {"locked": "unreadable-folder", "secret": "unreadable-file"})


def test_a_dicomdir_that_is_named_means_the_files_that_it_names(tmp_path: Path) -> None:
    write(tmp_path, "disc/IMAGES/A", "disc/images2/b", "disc/other", "outside")
    write(tmp_path, "disc/DICOMDIR", data=DIRECTORY)
    (tmp_path / "disc" / "LINK").symlink_to(tmp_path / "outside")
    names = [("IMAGES", "A"), ("IMAGES2", "B"), ("IMAGES", "GONE"), ("..", "outside"), ("LINK",), ("IMAGES", "A")]
    assert find(tmp_path / "disc" / "DICOMDIR", references=names) == (
        ["A", "b"],
        {"GONE": "missing", "outside": "outside", "LINK": "link"},
    )


def test_a_dicomdir_that_cannot_be_read_is_listed(tmp_path: Path) -> None:
    write(tmp_path, "DICOMDIR", data=DIRECTORY)
    assert find(tmp_path / "DICOMDIR") == ([], {"DICOMDIR": "unreadable"})


@pytest.mark.parametrize(
    "components",
    [(), ("",), ("..",), (".",), ("a", "..", "..", "etc"), ("/etc/passwd",), ("a/../b",), ("a\\b",), ("a\0",)],
)
def test_no_file_id_leads_out_of_the_folder(tmp_path: Path, components: tuple[str, ...]) -> None:
    write(tmp_path, "a/b")
    with pytest.raises(NotTaken):
        inside(tmp_path, components)


def test_a_file_that_became_a_link_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    (item, _) = Sources(Archives(), lambda _: [], 10_000).find([tmp_path])
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to(tmp_path / "b")
    assert isinstance(item, Item)
    with pytest.raises(NotTaken, match="cannot be read"):
        item.read(Archives(), 10_000)


def test_a_file_that_grew_past_the_limit_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "a")
    (item,) = Sources(Archives(), lambda _: [], 1000).find([tmp_path])
    write(tmp_path, "a", data=bytes(2000))
    assert isinstance(item, Item)
    with pytest.raises(NotTaken, match="larger"):
        item.read(Archives(), 1000)
