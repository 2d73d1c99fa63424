"""The batch tool: the output folder. It only ever holds sanitized bytes, and every file in it is whole.

An output is written aside, made durable, and then renamed to its name, and noted in the journal after that: a run that
is killed at any instant leaves whole files, and at most one that is done again, to the same bytes under the same name.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, Self

from gateway.batch.errors import CannotStart
from gateway.batch.journal import NAME, Entry, Journal, Terms
from gateway.batch.names import apart

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PART = ".cordon-deid-{}.part"


class Outputs:
    """The folder, open for one run. A context manager.

    Attributes:
        done: What earlier runs did, by the input's mark.
    """

    def __init__(self, folder: Path, journal: Journal, done: dict[str, Entry]) -> None:
        self.done = {mark: entry for mark, entry in done.items() if _size(folder / entry.name) == entry.size}
        self._folder = folder
        self._journal = journal
        self._numbers = count(1)
        self._by_base: dict[str, dict[str, Entry]] = {}
        self._by_content: dict[str, dict[str, Entry]] = {}
        for entry in self.done.values():
            self._remember(entry)

    @classmethod
    def open(cls, folder: Path, terms: Terms) -> Self:
        """Make the folder, or take up the one that an earlier run left.

        Raises:
            CannotStart: It holds other things, another run's output under other terms, or cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            names = {entry.name for entry in os.scandir(folder)}
        except OSError as error:
            raise CannotStart(f"{folder} cannot be made or listed: {error.strerror}") from None
        if names and NAME not in names:
            raise CannotStart(f"{folder} is not empty and holds no run to go on with: name a new or an empty folder")
        journal, done = Journal.open(folder, terms)
        outputs = cls(folder, journal, done)
        outputs._tidy()
        return outputs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tidy()
        self._journal.close()

    def with_content(self, content: str) -> Entry | None:
        """The entry of another input of the same bytes, done in this run or an earlier one."""
        return next(iter(self._by_content.get(content, {}).values()), None)

    def write_aside(self, data: bytes) -> Path:
        """Write an output where nobody takes it for one. Serves threads.

        Raises:
            OSError: The disk is full, or the folder cannot be written; nothing is left.
        """
        path = self._folder / _PART.format(next(self._numbers))
        try:
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def settle(self, aside: Path, data: bytes, *, mark: str, content: str, base: str, report: dict[str, Any]) -> Entry:
        """Give an output its name and note it. Not for two threads at once.

        Different inputs that share their identifiers all get a name of their own, whichever comes first. The same
        input found twice gives one output.

        Args:
            aside: What ``write_aside`` returned.
            data: Its bytes.
            mark: Stands for the input.
            content: Stands for the input's bytes.
            base: The name by the identifiers, see ``names.py``.
            report: What was done, for the journal.

        Raises:
            OSError: It cannot be renamed or noted.
        """
        try:
            others = self._by_base.get(base, {})
            if content in others:
                aside.unlink()
                return self.note_again(mark, others[content])
            for other in [each for each in others.values() if each.name == base]:
                self._move_apart(other)
            name = apart(base, content) if others else base
            target = self._folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            aside.rename(target)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        entry = Entry(mark, content, base, name, len(data), hashlib.sha256(data).hexdigest(), report)
        try:
            self._journal.add(entry)
        except OSError:
            target.unlink()  # what is not noted is not there: else a later run could not tell whose it is
            raise
        self._remember(entry)
        return entry

    def note_again(self, mark: str, entry: Entry) -> Entry:
        """Note that another input has the same bytes.

        Raises:
            OSError: It cannot be noted.
        """
        again = replace(entry, input=mark, again=True)
        self._journal.add(again)
        self._remember(again)
        return again

    def _tidy(self) -> None:
        for left in self._folder.glob(_PART.format("*")):
            left.unlink(missing_ok=True)

    def _move_apart(self, entry: Entry) -> None:
        name = apart(entry.base, entry.content)
        (self._folder / entry.name).rename(self._folder / name)
        try:
            for each in list(self._by_content[entry.content].values()):
                moved = replace(each, name=name)
                self._journal.add(moved)
                self._remember(moved)
        except OSError:
            (self._folder / name).rename(self._folder / entry.name)
            raise

    def _remember(self, entry: Entry) -> None:
        self.done[entry.input] = entry
        self._by_content.setdefault(entry.content, {})[entry.input] = entry
        if not entry.again:
            self._by_base.setdefault(entry.base, {})[entry.content] = entry


def check_apart(folder: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output folder that lies in an input, or holds one.

    Raises:
        CannotStart: It does.
    """
    output = folder.resolve()
    for path in inputs:
        source = path.resolve()
        if output == source or source in output.parents:
            raise CannotStart(f"The output {folder} lies in the input {path}: name a folder outside of it")
        if output in source.parents:
            raise CannotStart(f"The input {path} lies in the output {folder}: name another output folder")


def _size(path: Path) -> int:
    try:
        return path.stat(follow_symlinks=False).st_size
    except OSError:
        return -1
