"""The batch tool: the changes of many files as one table; values stay hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.batch.preview import PRIVATE, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.batch.preview import Change, Hidden, Place

_STRANGERS = {PRIVATE: "private", UNKNOWN: "unknown"}


@dataclass(slots=True)
class Span:
    """Values of which only kind and lengths are told; lengths are those of ``Hidden``."""

    kind: str
    least: int
    most: int

    def __str__(self) -> str:
        if not self.kind:
            return "-"
        if not self.most:
            return "empty"
        length = str(self.most) if self.least == self.most else f"{self.least}-{self.most}"
        return f"{self.kind} {length}"

    @property
    def is_empty(self) -> bool:
        """Whether there is never a value."""
        return not self.most

    def widen(self, hidden: Hidden) -> None:
        """Take in one more value."""
        self.least, self.most = min(self.least, hidden.length), max(self.most, hidden.length)


@dataclass(slots=True)
class Line:
    """One attribute and what happens to it, over all files in which that happens.

    Attributes:
        place: Where it stands.
        name: The standard's name of it.
        vr: Its VR.
        action: What happens to it.
        files: In how many files.
        before: Its values before.
        after: Its values after.
    """

    place: Place
    name: str
    vr: str
    action: str
    files: int
    before: Span
    after: Span

    @property
    def tag(self) -> str:
        """As people write it: ``(0040,A730) (0040,A160)``."""
        return " ".join(_STRANGERS.get(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in self.place)

    def as_json(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "tag": self.tag,
            "name": self.name,
            "vr": self.vr,
            "action": self.action,
            "files": self.files,
            "before": str(self.before),
            "after": str(self.after),
        }


class Changes:
    """Sums up file by file. Iterates over its lines in the order of their tags."""

    def __init__(self) -> None:
        self._lines: dict[tuple[Place, str, str, str, str], Line] = {}

    def add(self, changes: Iterable[Change]) -> None:
        """Take in one file's."""
        counted = set()
        for change in changes:
            key = (change.place, change.vr, change.action, change.before.kind, change.after.kind)
            line = self._lines.get(key)
            if line is None:
                spans = [Span(each.kind, each.length, each.length) for each in (change.before, change.after)]
                line = self._lines[key] = Line(change.place, change.name, change.vr, change.action, 0, *spans)
            if key not in counted:
                counted.add(key)
                line.files += 1
            line.before.widen(change.before)
            line.after.widen(change.after)

    def __iter__(self) -> Iterator[Line]:
        return iter(sorted(self._lines.values(), key=lambda line: (line.place, line.action, line.vr)))
