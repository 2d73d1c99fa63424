"""The batch tool: what there is to do. Files, folders, zip archives, and the files that a DICOMDIR names.

A folder is walked in the order of its names. Hidden files are passed over, links inside a folder are not followed, and
nothing outside the folder of a DICOMDIR is read, whatever it names.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gateway.batch.errors import NotTaken
from gateway.batch.items import Item, Refusal, open_regular
from gateway.batch.kinds import HEAD_BYTES, Kind, kind_of
from gateway.batch.zips import check_kind
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway.batch.zips import Archives

Components: TypeAlias = tuple[str, ...]
"""A File ID: folders and a name (PS3.10 8.2)."""


class Sources:
    """Finds the inputs. Reads the first bytes of every file, as its name says nothing of what it is.

    Args:
        archives: Opens zips.
        references: Parses the bytes of a DICOMDIR. Raises GatewayError.
        limit: Most bytes that one file may have.
    """

    def __init__(self, archives: Archives, references: Callable[[bytes], list[Components]], limit: int) -> None:
        self._archives = archives
        self._references = references
        self._limit = limit
        self._seen: set[tuple[int, int]] = set()

    def find(self, paths: Iterable[Path]) -> Iterator[Item | Refusal]:
        """All inputs below ``paths``; one that is reached twice comes once. Paths that are links are followed."""
        for path in paths:
            given = path.resolve()
            if given.is_dir():
                yield from self._folder(str(given))
            else:
                yield from self._file(str(given), named=True)

    def _folder(self, folder: str) -> Iterator[Item | Refusal]:
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield Refusal(folder, NotTaken("unreadable-folder", f"It cannot be listed: {error.strerror}"))
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                yield Refusal(entry.path, NotTaken("link", "It is a link; name its target instead", skipped=True))
            elif entry.is_dir(follow_symlinks=False):
                yield from self._folder(entry.path)
            else:
                yield from self._file(entry.path)

    def _file(self, path: str, *, named: bool = False) -> Iterator[Item | Refusal]:
        """One file, or what is in it. ``named``: the operator named it, so a DICOMDIR means the files it names."""
        try:
            head, status = _look(path)
            if (status.st_dev, status.st_ino) in self._seen:
                return
            kind = kind_of(head)
            if kind is Kind.DIRECTORY and named:
                yield from self._directory(path)
                return
            self._seen.add((status.st_dev, status.st_ino))
            if kind is Kind.ZIP:
                yield from self._archives.members(path, self._limit)
                return
            check_kind(kind)
        except NotTaken as why:
            yield Refusal(path, why)
        else:
            yield Item(path, status.st_size, str(status.st_mtime_ns))

    def _directory(self, path: str) -> Iterator[Item | Refusal]:
        data = Item(path, 0, "").read(self._archives, self._limit)
        try:
            references = self._references(data)
        except GatewayError as error:
            raise NotTaken(error.slug, error.detail or error.title) from None
        folder = Path(path).parent
        for components in references:
            try:
                found = inside(folder, components)
            except NotTaken as why:
                yield Refusal(f"{folder}/{'/'.join(components)}", why)
            else:
                yield from self._file(str(found))


def inside(folder: Path, components: Components) -> Path:
    """The file that a DICOMDIR names. Its letters' case may differ: file systems of discs are mounted in either.

    Args:
        folder: The DICOMDIR's, resolved.
        components: The File ID.

    Raises:
        NotTaken: It is not there, or not in that folder, or a link is on the way.
    """
    path = folder
    for component in components:
        if component in {"", ".", ".."} or set(component) & {"/", "\\", "\0"}:
            raise NotTaken("outside", "The DICOMDIR names a file outside its folder")
        path = exact if os.path.lexists(exact := path / component) else _other_case(path, component)
        if path.is_symlink():
            raise NotTaken("link", "The DICOMDIR names a link")
    if not components or not path.is_file():
        raise NotTaken("missing", "The DICOMDIR names a file that is not there")
    return path


def _other_case(folder: Path, name: str) -> Path:
    try:
        found = sorted(each for each in folder.iterdir() if each.name.casefold() == name.casefold())
    except OSError:
        found = []
    if not found:
        raise NotTaken("missing", "The DICOMDIR names a file that is not there")
    return found[0]


def _look(path: str) -> tuple[bytes, os.stat_result]:
    try:
        # A pipe or a device is not even opened: to open one can already do something.
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise NotTaken("not-a-file", "It is not a regular file", skipped=True)
        descriptor = open_regular(path)
        try:
            return os.read(descriptor, HEAD_BYTES), os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise NotTaken.from_os(error) from None
