"""Archives as hospitals send them, and as an attacker would."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING

import pytest

from gateway.batch import zips
from gateway.batch.errors import NotTaken
from gateway.batch.items import Item, Refusal
from gateway.batch.zips import Archives

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DICOM = bytes(128) + b"DICM" + b"rest"
LIMIT = 10_000


@pytest.fixture
def archives() -> Iterator[Archives]:
    archives = Archives()
    yield archives
    archives.close()


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> str:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return str(path)


def look(archives: Archives, path: str) -> tuple[dict[str, bytes], dict[str, str]]:
    """The images' bytes, and the others' reasons, by name."""
    found = list(archives.members(path, LIMIT))
    images = {item.member_name: item.read(archives, LIMIT) for item in found if isinstance(item, Item)}
    return images, {each.shown.split("!")[1]: each.why.slug for each in found if isinstance(each, Refusal)}


def test_images_are_read_and_the_rest_is_named_with_its_reason(tmp_path: Path, archives: Archives) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("a.dcm", DICOM)
    members = {
        "DOE^JANE/1": DICOM,
        "DOE^JANE/2.png": b"\x89PNG\r\n\x1a\nrest",
        "readme.txt": b"hello",
        "more.zip": inner.getvalue(),
        "bare.dcm": b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100",
        ".hidden": DICOM,
        "__MACOSX/1": DICOM,
        "big": DICOM + bytes(LIMIT),
    }
    images, others = look(archives, archive(tmp_path / "a.zip", members))
    assert images == {name: members[name] for name in ("DOE^JANE/1", "DOE^JANE/2.png")}
    assert others == {
        "readme.txt": "not-an-image",
        "more.zip": "nested-zip",
        "bare.dcm": "no-file-meta",
        "big": "too-large",
    }


def test_an_encrypted_member_is_named_as_such(tmp_path: Path, archives: Archives) -> None:
    path = archive(tmp_path / "a.zip", {"a": DICOM, "b": DICOM}, zipfile.ZIP_STORED)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 8] |= 1  # general purpose bit 0 of the first member (APPNOTE 4.4.4)
    (tmp_path / "a.zip").write_bytes(data)
    images, others = look(archives, path)
    assert (list(images), others) == (["b"], {"a": "encrypted-zip"})


def test_a_method_that_needs_a_dictionary_in_memory_is_not_taken(tmp_path: Path, archives: Archives) -> None:
    _, others = look(archives, archive(tmp_path / "a.zip", {"a": DICOM}, zipfile.ZIP_LZMA))
    assert others == {"a": "zip-method"}


def test_a_link_is_not_followed(tmp_path: Path, archives: Archives) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    assert look(archives, str(tmp_path / "a.zip")) == ({}, {"link": "link"})


def refused(archives: Archives, path: Path) -> str:
    with pytest.raises(NotTaken) as caught:
        list(archives.members(str(path), LIMIT))
    return caught.value.slug


def test_a_bomb_by_ratio_is_refused_before_it_is_inflated(
    tmp_path: Path, archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "FREE_BYTES", 10_000)
    archive(tmp_path / "bomb.zip", {"a": bytes(2_000_000)})
    assert refused(archives, tmp_path / "bomb.zip") == "zip-bomb"
    archive(tmp_path / "dense.zip", {"a": bytes(9_000)})
    assert look(archives, str(tmp_path / "dense.zip")) == ({}, {"a": "not-an-image"})


def test_too_many_members_are_refused(tmp_path: Path, archives: Archives, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "MAX_MEMBERS", 3)
    archive(tmp_path / "a.zip", {str(number): DICOM for number in range(4)})
    assert refused(archives, tmp_path / "a.zip") == "zip-bomb"


def test_a_directory_that_claims_to_be_huge_is_not_parsed(
    tmp_path: Path, archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "MAX_DIRECTORY_BYTES", 200)
    archive(tmp_path / "a.zip", {str(number): DICOM for number in range(10)})
    assert refused(archives, tmp_path / "a.zip") == "zip-bomb"
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 5)  # makes it a zip64
    archive(tmp_path / "b.zip", {str(number): DICOM for number in range(10)})
    data = bytearray((tmp_path / "b.zip").read_bytes())
    struct.pack_into("<L", data, data.rindex(b"PK\x05\x06") + 12, 0)  # the small field lies, the zip64 one counts
    (tmp_path / "b.zip").write_bytes(data)
    assert refused(archives, tmp_path / "b.zip") == "zip-bomb"


def test_overlapping_members_are_refused(tmp_path: Path, archives: Archives) -> None:
    """Many directory entries for one kernel of data (D. Fifield, A better zip bomb, 2019)."""
    archive(tmp_path / "a.zip", {"a": DICOM * 50}, zipfile.ZIP_STORED)
    data = (tmp_path / "a.zip").read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[start:end]
    tail = bytearray(data[end:])
    struct.pack_into("<HHL", tail, 8, 40, 40, 40 * len(entry))
    (tmp_path / "a.zip").write_bytes(data[:start] + entry * 40 + tail)
    assert refused(archives, tmp_path / "a.zip") == "zip-bomb"


@pytest.mark.parametrize("cut", [10, 60, 200])
def test_a_broken_archive_is_named_as_such(tmp_path: Path, archives: Archives, cut: int) -> None:
    path = tmp_path / "a.zip"
    archive(path, {"a": DICOM, "b": DICOM})
    path.write_bytes(path.read_bytes()[:-cut])
    assert refused(archives, path) == "broken-zip"


def test_a_member_whose_crc_is_wrong_is_not_read(tmp_path: Path, archives: Archives) -> None:
    path = tmp_path / "a.zip"
    archive(path, {"a": DICOM + bytes(9000)}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[8000] ^= 1
    path.write_bytes(data)
    (item,) = archives.members(str(path), LIMIT)
    assert isinstance(item, Item)
    with pytest.raises(NotTaken, match="broken"):
        item.read(archives, LIMIT)


def test_an_office_document_is_not_unpacked(tmp_path: Path, archives: Archives) -> None:
    archive(tmp_path / "letter.docx", {"[Content_Types].xml": b"<x/>", "word/media/image1.png": b"\x89PNG\r\n\x1a\n"})
    with pytest.raises(NotTaken) as caught:
        list(archives.members(str(tmp_path / "letter.docx"), LIMIT))
    assert caught.value.skipped


def test_more_archives_than_stay_open_are_read_in_turn(tmp_path: Path, archives: Archives) -> None:
    items = []
    for number in range(9):
        path = archive(tmp_path / f"{number}.zip", {"a": DICOM + bytes([number])})
        items += archives.members(path, LIMIT)
    assert [item.read(archives, LIMIT)[-1] for item in items] == list(range(9))
