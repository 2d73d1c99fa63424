"""Step 3 of 7: rows of a table file. Every fault is a ValueError that names the file and the line."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TAG = re.compile(r"[0-9A-Fx]{8}")


def rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row with the place it stands at, for an error's sentence. Lines that start with ``#`` come first.

    Raises:
        ValueError: A row has more or fewer cells than the header.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    comments = sum(line.startswith("#") for line in lines)
    reader = csv.DictReader(lines[comments:], strict=True)
    for row in reader:
        where = f"{path.name} line {reader.line_num + comments}"
        if None in row or None in row.values():
            raise ValueError(f"{where}: the row does not have as many cells as the header")
        yield where, row


def one_of(where: str, value: str, allowed: tuple[str, ...]) -> str:
    """The value.

    Raises:
        ValueError: It is none of those allowed.
    """
    if value not in allowed:
        raise ValueError(f"{where}: {value!r} is none of {', '.join(map(repr, allowed))}")
    return value


def tag_in(where: str, text: str) -> int:
    """A tag of eight hexadecimal digits as a number.

    Raises:
        ValueError: It is none.
    """
    if not TAG.fullmatch(text) or "x" in text:
        raise ValueError(f"{where}: {text!r} is not a tag of eight hexadecimal digits")
    return int(text, 16)
