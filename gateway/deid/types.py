"""Step 3 of 7: the type of an attribute (PS3.5 7.4) in the SOP class of its instance and the sequence it stands in.

It decides how an attribute is lost where Table E.1-1 leaves a choice: type 1 gets a dummy value, type 2 is emptied,
type 3 removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.deid.tabular import one_of, rows, tag_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OPTIONAL = 3
EVERYWHERE = "*"


@dataclass(frozen=True, slots=True)
class AttributeTypes:
    """Types by attribute, IOD and sequence.

    Attributes:
        top: For attributes at the top of an instance: IOD, or ``*`` for all others, to the type.
        nested: For attributes in sequences: the sequence's tag, or 0 for all others, to the type.
        iods: SOP Class UID to the name of its IOD.
    """

    top: Mapping[int, Mapping[str, int]]
    nested: Mapping[int, Mapping[int, int]]
    iods: Mapping[str, str]

    @classmethod
    def load(cls, folder: Path) -> AttributeTypes:
        """Read ``types.csv`` and ``iods.csv``.

        Raises:
            ValueError: Names the file, the line and what is wrong there.
        """
        iods = {row["sop_class"]: row["iod"] for _, row in rows(folder / "iods.csv")}
        known = (*sorted(set(iods.values())), EVERYWHERE)
        top: dict[int, dict[str, int]] = {}
        nested: dict[int, dict[int, int]] = {}
        for where, row in rows(folder / "types.csv"):
            tag, kind = tag_in(where, row["tag"]), int(one_of(where, row["type"], ("1", "2", "3")))
            for iod in row["iods"].split():
                top.setdefault(tag, {})[one_of(where, iod, known)] = kind
            for parent in row["parents"].split():
                nested.setdefault(tag, {})[0 if parent == EVERYWHERE else tag_in(where, parent)] = kind
            if bool(row["iods"]) == bool(row["parents"]):
                raise ValueError(f"{where}: one of parents and iods must be given")
        return cls(top, nested, iods)

    def of(self, tag: int, iod: str | None, parent: int) -> int:
        """1, 2 or 3.

        Args:
            tag: The attribute.
            iod: Of the instance; None if its SOP class is unknown: then the strictest holds.
            parent: Tag of the sequence in whose item it stands; 0 at the top.
        """
        if parent:
            by_parent = self.nested.get(tag)
            return by_parent.get(parent, by_parent.get(0, OPTIONAL)) if by_parent else OPTIONAL
        by_iod = self.top.get(tag)
        if by_iod is None:
            return OPTIONAL
        if iod is None:
            return min(by_iod.values())
        return by_iod.get(iod, by_iod.get(EVERYWHERE, OPTIONAL))

    def somewhere(self, tag: int) -> set[int]:
        """Every type that an attribute has in some IOD or sequence."""
        found = {*self.top.get(tag, {}).values(), *self.nested.get(tag, {}).values()}
        return found or {OPTIONAL}
