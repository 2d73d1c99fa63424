"""The batch tool: what is done, line by line, so that an interrupted run goes on where it was.

``.cordon-deid.jsonl`` in the output folder: a first line that says under which policy, key and tenant, then one line an
input. It holds marks, output names and counts, and identifies nobody (``marks.py``). A line that a crash cut short is
dropped, and its input done again.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from gateway.batch.errors import CannotStart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = ".cordon-deid.jsonl"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Terms:
    """What all outputs of one folder share.

    Attributes:
        policy: The policy's name.
        policy_digest: SHA-256 of the policy and its tables.
        key: The key's mark.
        tenant: The tenant's mark.
    """

    policy: str
    policy_digest: str
    key: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One input that is done.

    Attributes:
        input: Its mark by path, size and time.
        content: Its mark by bytes.
        base: The output's name by its identifiers.
        name: The output's name; differs from ``base`` if several inputs share the identifiers.
        size: The output's bytes.
        sha256: The output's digest.
        report: What was done, as the report's JSON.
        again: Another input had the same bytes, and its output serves for both.
    """

    input: str
    content: str
    base: str
    name: str
    size: int
    sha256: str
    report: dict[str, Any] = field(repr=False)
    again: bool = False


class Journal:
    """The open journal. Holds the lock of its folder: two runs never write to one folder."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._end = 0

    @classmethod
    def open(cls, folder: Path, terms: Terms) -> tuple[Self, dict[str, Entry]]:
        """Open or begin the journal of an output folder.

        Returns:
            The journal, and by their marks the inputs that are done.

        Raises:
            CannotStart: Another run holds the folder; its outputs were made under other terms; or it cannot be written.
        """
        path = folder / NAME
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise CannotStart(f"{path} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise CannotStart(f"Another run is writing to {folder}: wait for it, or name another folder") from None
        except OSError as error:
            os.close(descriptor)
            raise CannotStart(f"{path} cannot be locked: {error.strerror}") from None
        journal = cls(path, descriptor)
        try:
            return journal, journal._begin(folder, terms)
        except BaseException:
            os.close(descriptor)
            raise

    def add(self, entry: Entry) -> None:
        """Note one input as done.

        Raises:
            OSError: The line is not written, and nothing of it is left.
        """
        self._append(asdict(entry))

    def close(self) -> None:
        """Make it durable, and let the folder go."""
        try:
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)

    def _begin(self, folder: Path, terms: Terms) -> dict[str, Entry]:
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            lines = file.read().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        self._end = sum(map(len, whole))
        try:
            os.ftruncate(self._descriptor, self._end)
            if not whole:
                self._append({"cordon-deid": _FORMAT} | asdict(terms))
                return {}
            _check(json.loads(whole[0]), terms, folder)
            entries = {entry.input: entry for entry in self._entries(whole[1:])}
        except OSError as error:
            raise CannotStart(f"{self._path} cannot be written: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise CannotStart(f"{self._path} is not a journal of this tool: name another folder") from None
        return entries

    @staticmethod
    def _entries(lines: list[bytes]) -> Iterator[Entry]:
        for line in lines:
            try:
                yield Entry(**json.loads(line))
            except (ValueError, TypeError):
                continue  # a disk that broke off: its input is done again

    def _append(self, line: dict[str, Any]) -> None:
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            written = 0
            while written < len(data):  # a full disk takes a part at first, and says so at the next call
                written += os.pwrite(self._descriptor, data[written:], self._end + written)
        except OSError:
            os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(data)


def _check(head: dict[str, Any], terms: Terms, folder: Path) -> None:
    if head["cordon-deid"] != _FORMAT:
        raise ValueError("of another version")
    if head["key"] != terms.key:
        differs = "another key, so the same patient would get two pseudonyms"
    elif head["tenant"] != terms.tenant:
        differs = "another tenant, so the same patient would get two pseudonyms"
    elif head["policy_digest"] != terms.policy_digest:
        differs = f"another policy (“{head['policy']}”, or this one before it or its tables were changed)"
    else:
        return
    raise CannotStart(f"{folder} holds the output of a run with {differs}: name another folder")
