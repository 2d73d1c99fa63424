"""The batch tool: one input, and the reading of its bytes."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.batch.errors import NotTaken

if TYPE_CHECKING:
    from gateway.batch.zips import Archives


@dataclass(frozen=True, slots=True)
class Item:
    """A file, or a member of a zip, that will be de-identified.

    Attributes:
        path: The file's absolute path. Identifying: folders and files are often named for patients.
        size: Bytes.
        stamp: Changes when the file does: its time of modification; with the CRC for a member.
        member: Its place in the zip's directory; None for a file.
        member_name: Its name there.
    """

    path: str = field(repr=False)
    size: int
    stamp: str = field(repr=False)
    member: int | None = None
    member_name: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """How the operator is told of it."""
        return self.path if self.member is None else f"{self.path}!{self.member_name}"

    @property
    def identity(self) -> bytes:
        """Equal for the same unchanged input. To be digested with a key: it holds names and times."""
        parts = (self.path, "" if self.member is None else str(self.member), self.member_name, self.size, self.stamp)
        return "\0".join(map(str, parts)).encode("utf-8", "surrogateescape")

    def read(self, archives: Archives, limit: int) -> bytes:
        """All of its bytes.

        Raises:
            NotTaken: It is gone, was changed, cannot be read, or is larger than ``limit`` bytes.
        """
        if self.size > limit:
            raise NotTaken("too-large", f"It is larger than the {limit} bytes that one file may have")
        if self.member is not None:
            return archives.read(self.path, self.member, self.size)
        try:
            descriptor = open_regular(self.path)
            with os.fdopen(descriptor, "rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise NotTaken.from_os(error) from None
        if len(data) > limit:
            raise NotTaken("too-large", f"It is larger than the {limit} bytes that one file may have")
        return data


@dataclass(frozen=True, slots=True)
class Refusal:
    """An input that is not read.

    Attributes:
        shown: How the operator is told of it. Identifying.
        why: The reason.
    """

    shown: str = field(repr=False)
    why: NotTaken


def open_regular(path: str) -> int:
    """A descriptor of a regular file, for reading.

    Neither a link is followed nor a named pipe waited for, also if the file was replaced since the folder was listed.

    Raises:
        NotTaken: It is not a regular file.
        OSError: It cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotTaken("not-a-file", "It is not a regular file", skipped=True)
    return descriptor
