"""The batch tool: zip archives, read member by member in memory, within bounds, one level deep.

``zipfile`` is given nothing that could make it hold or make more than the bounds say: the directory's size is looked at
before it is parsed (PKWARE APPNOTE 4.3.14 to 4.3.16), sizes and overlaps before a member is read, and only the methods
"stored" and "deflated" are taken, which need no memory of their own.
"""

from __future__ import annotations

import os
import stat
import struct
import threading
import zipfile
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING, BinaryIO

from gateway.batch.errors import NotTaken
from gateway.batch.items import Item, Refusal, open_regular
from gateway.batch.kinds import HEAD_BYTES, Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MEMBERS = 200_000
MAX_DIRECTORY_BYTES = 64 * 2**20
MAX_TOTAL_BYTES = 256 * 2**30
MAX_RATIO = 100
FREE_BYTES = 256 * 2**20
"""Up to this total the ratio is not looked at: a black image deflates a thousandfold and is no attack."""

_OPEN = 4
_END, _END_SIZE = b"PK\x05\x06", 22
_LOCATOR_64, _LOCATOR_SIZE = b"PK\x06\x07", 20
_END_64, _END_64_SIZE = b"PK\x06\x06", 56
_ENCRYPTED = 0x1
_OFFICE = frozenset({"[Content_Types].xml", "mimetype"})
_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, ValueError, UnicodeError)
"""What zipfile raises over a broken archive."""


class Archives:
    """Open archives, the last few. Serves threads, one at a time: inflating is a small part of the work."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, tuple[zipfile.ZipFile, BinaryIO]] = OrderedDict()
        self._lock = threading.Lock()

    def members(self, path: str, limit: int) -> Iterator[Item | Refusal]:
        """What is in it: images as items, all else as refusals; folders and hidden files are passed over.

        Args:
            path: Of the archive.
            limit: Most bytes that one member may have.

        Raises:
            NotTaken: The archive is broken, or built like an attack.
        """
        with self._lock:
            archive, file = self._get(path)
            infos, seen = archive.infolist(), os.fstat(file.fileno())
        if _OFFICE & {info.filename for info in infos[:3]}:
            raise NotTaken("not-an-image", "It is a document, not an archive of images", skipped=True)
        _check_bounds(infos, seen.st_size)
        for index, info in enumerate(infos):
            if info.is_dir() or _is_hidden(info.filename):
                continue
            try:
                _check_member(info, limit)
                check_kind(kind_of(self._bytes(path, index, HEAD_BYTES)))
            except NotTaken as why:
                yield Refusal(f"{path}!{info.filename}", why)
            else:
                yield Item(path, info.file_size, f"{seen.st_mtime_ns}:{info.CRC}", index, info.filename)

    def read(self, path: str, member: int, size: int) -> bytes:
        """All bytes of one member, its CRC checked.

        Args:
            path: Of the archive.
            member: Its place in the directory.
            size: How many bytes it has.

        Raises:
            NotTaken: The archive or the member is broken.
        """
        data = self._bytes(path, member, size + 1)  # one more: its end, and so its CRC, is reached
        if len(data) != size:
            raise NotTaken("broken-zip", "The zip's member is shorter or longer than the zip says")
        return data

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            while self._open:
                self._evict()

    def _bytes(self, path: str, member: int, most: int) -> bytes:
        with self._lock:
            try:
                archive, _ = self._get(path)
                with archive.open(archive.infolist()[member]) as file:
                    return file.read(most)
            except (IndexError, *_FAULTS):
                raise NotTaken("broken-zip", "The zip's member is broken") from None
            except OSError as error:
                raise NotTaken.from_os(error) from None

    def _get(self, path: str) -> tuple[zipfile.ZipFile, BinaryIO]:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        try:
            file = os.fdopen(open_regular(path), "rb")
        except OSError as error:
            raise NotTaken.from_os(error) from None
        try:
            _check_directory(file.fileno())
            self._open[path] = zipfile.ZipFile(file), file
        except _FAULTS:
            file.close()
            raise NotTaken("broken-zip", "The zip's directory cannot be read") from None
        except BaseException:
            file.close()
            raise
        if len(self._open) > _OPEN:
            self._evict()
        return self._open[path]

    def _evict(self) -> None:
        _, (archive, file) = self._open.popitem(last=False)
        archive.close()
        file.close()


def _check_member(info: zipfile.ZipInfo, limit: int) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise NotTaken("encrypted-zip", "The zip's member is encrypted: unpack it first")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise NotTaken("link", "It is a link", skipped=True)
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise NotTaken("zip-method", "The zip's member is packed by a method that is not taken: unpack it first")
    if info.file_size > limit:
        raise NotTaken("too-large", f"It is larger than the {limit} bytes that one file may have")


def check_kind(kind: Kind) -> None:
    """Say why a file is not for step 2, if it is not.

    Raises:
        NotTaken: It is no image, or one that nothing says how to read.
    """
    match kind:
        case Kind.ZIP:
            raise NotTaken("nested-zip", "It is a zip inside a zip: unpack the outer one first")
        case Kind.OTHER:
            raise NotTaken("not-an-image", "It is not a DICOM file, JPEG or PNG", skipped=True)
        case Kind.DIRECTORY:
            raise NotTaken("dicomdir", "A DICOMDIR is an index with names in it and is never copied", skipped=True)
        case Kind.BARE:
            raise NotTaken(
                "no-file-meta",
                "It looks like DICOM without preamble and file meta (PS3.10 7.1): nothing says how to read it",
            )


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _check_bounds(infos: list[zipfile.ZipInfo], size: int) -> None:
    total = sum(info.file_size for info in infos)
    if len(infos) > MAX_MEMBERS:
        raise NotTaken("zip-bomb", f"The zip has more than {MAX_MEMBERS} members")
    if total > MAX_TOTAL_BYTES:
        raise NotTaken("zip-bomb", f"The zip unpacks to more than {MAX_TOTAL_BYTES >> 30} GiB")
    if total > FREE_BYTES and total > MAX_RATIO * size:
        raise NotTaken("zip-bomb", f"The zip unpacks to more than {MAX_RATIO} times its size")
    if sum(info.compress_size for info in infos) > size:
        raise NotTaken("zip-bomb", "The zip's members overlap")


def _check_directory(descriptor: int) -> None:
    """Refuse a directory that would take too much memory to parse."""
    size = os.fstat(descriptor).st_size
    tail_start = max(0, size - _END_SIZE - 0xFFFF)
    tail = os.pread(descriptor, size - tail_start, tail_start)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        raise NotTaken("broken-zip", "The zip's directory cannot be read")
    (length,) = struct.unpack_from("<L", tail, at + 12)
    before = os.pread(descriptor, _END_64_SIZE + _LOCATOR_SIZE, max(0, tail_start + at - _END_64_SIZE - _LOCATOR_SIZE))
    if before[_END_64_SIZE:].startswith(_LOCATOR_64) and before.startswith(_END_64):
        (length,) = struct.unpack_from("<Q", before, 40)
    if length > MAX_DIRECTORY_BYTES:
        raise NotTaken("zip-bomb", f"The zip's directory is larger than {MAX_DIRECTORY_BYTES >> 20} MiB")
