"""De-identification benchmark: which action code the standard gives, under a profile with options (PS3.15 Annex E).

``data/key.csv`` holds the codes of the attributes that the corpus uses (Table E.1-1, edition 2026d) and
``data/concepts.csv`` those of its content items (Table E.3.4-1), both written for this benchmark alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import yaml

from benchmarks.deid_corpus.tables import rows

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.deid_corpus.build import Fact

CODES = {
    "graphics": "113103",
    "structured": "113104",
    "descriptors": "113105",
    "full-dates": "113106",
    "dates": "113107",
    "characteristics": "113108",
    "device": "113109",
    "uids": "113110",
    "private": "113111",
    "institution": "113112",
}
"""Names of the options, and their CID 7050 codes."""
BASIC = "113100"
CONTRADICTION = "?"
"""Two rules of the standard that disagree: nothing is asked but that identifiers are gone."""
_VALUES = {"TextValue", "PersonName", "Date", "DateTime", "UID", "NumericValue"}


@dataclass(frozen=True, slots=True)
class OptionSet:
    """A profile as declared: Basic with options (PS3.15 E.3).

    Attributes:
        name: For people.
        options: Keys of CODES.
        age_cap: Highest age in years that may be stated.
        linked: A pseudonym stands in Patient ID; False: it is empty, which code Z allows as well.
    """

    name: str
    options: frozenset[str] = frozenset()
    age_cap: int = 89
    linked: bool = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """``basic``, ``basic+dates+descriptors`` or ``all``, which is all but the other one of the two about dates.

        Raises:
            ValueError: Names what is no option.
        """
        if text == "all":
            return cls(text, frozenset(CODES) - {"full-dates"})
        first, *options = text.split("+")
        unknown = [option for option in options if option not in CODES]
        if first != "basic" or unknown:
            raise ValueError(f"{text}: must be basic, and after it options out of {', '.join(CODES)}")
        return cls(text, frozenset(options))

    @classmethod
    def of_policy(cls, file: Path) -> Self:
        """What a policy file declares. Options about pixels are left out: they ask nothing of the header."""
        document: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
        names = {code: name for name, code in CODES.items()}
        declared = frozenset(names[code] for code in document["options"] if code in names)
        return cls(document["name"], declared, document["age_cap"], document["patient"] == "pseudonym")

    @property
    def methods(self) -> tuple[str, ...]:
        """CID 7050 codes that the output has to name."""
        return (BASIC, *sorted(CODES[option] for option in self.options))

    @property
    def temporal(self) -> str:
        """What (0028,0303) has to say (PS3.15 E.3.6)."""
        if "full-dates" in self.options:
            return "UNMODIFIED"
        return "MODIFIED" if "dates" in self.options else "REMOVED"


@cache
def attribute_rows() -> dict[str, dict[str, str]]:
    """Table E.1-1 by keyword."""
    return {row["keyword"]: row for row in rows("key")}


@cache
def concept_rows() -> dict[str, dict[str, str]]:
    """Table E.3.4-1 by concept name code."""
    return {row["concept"]: row for row in rows("concepts")}


def code(keyword: str, options: OptionSet) -> str:
    """The action code of an attribute; empty if Table E.1-1 does not list it."""
    return _of_row(attribute_rows().get(keyword), options)


def judged(fact: Fact, options: OptionSet) -> tuple[str, bool]:
    """The action code of an element where it stands, and whether it may also go with a sequence above it.

    Returns:
        The code, empty for what the standard does not list; True if a sequence above may be removed or replaced.
    """
    loose = any(code(keyword, options) not in ("", "K", "C") for keyword in fact.above)
    asked = code(fact.keyword, options)
    concepts = [step.concept for step in fact.path if step.concept]
    if not concepts:
        return asked, loose
    own = _of_row(concept_rows().get(concepts[-1]), options)
    # An item that is removed takes with it all that stands in it.
    loose = loose or any("X" in _of_row(concept_rows().get(concept), options) for concept in concepts)
    if fact.keyword not in _VALUES or not own:
        return asked, loose
    if loose and own in ("C", "K"):
        # Without Clean Structured Content the whole sequence has a dummy's place: nothing in it is asked for.
        return asked, loose
    if own == "K" and asked == "U":
        return CONTRADICTION, loose
    return (asked if fact.vr == "UI" and own != "K" else own), loose


def _of_row(row: dict[str, str] | None, options: OptionSet) -> str:
    """An option's column goes before the Basic Profile's; of two options that disagree, C (clean) before K (keep)."""
    if row is None:
        return ""
    said = {row[option] for option in options.options if row.get(option)}
    if "full-dates" in options.options and row["dates"]:
        said.add("K")
    return "C" if "C" in said else "K" if "K" in said else row["basic"]
