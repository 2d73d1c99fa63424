"""Step 3 of 7: a policy with the rules that it makes, as it is read; for those who look at it, not for images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from gateway.deid.options import FULL_DATES, RETAIN_UIDS
from gateway.deid.policy import digest, load_policy
from gateway.deid.policy_lines import Lines
from gateway.deid.rulebook import Listed, Rulebook
from gateway.deid.tables import load_tables
from gateway.deid.templates import Templates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gateway.deid.policy import DeidPolicy

_NOT_KEPT = frozenset("XZD")


@dataclass(frozen=True, slots=True)
class Book:
    """A policy file and what follows from it.

    Attributes:
        policy: The policy.
        digest: As reports and audit records state it: over the file and the tables.
        methods: CID 7050 code to its meaning.
        listed: Every rule, in the order in which they are asked.
        templates: How many regions by device it masks.
    """

    file: Path
    policy: DeidPolicy
    digest: str
    methods: Mapping[str, str] = field(repr=False)
    listed: tuple[Listed, ...] = field(repr=False)
    templates: int

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read and check.

        Raises:
            ValueError: Names the file, the line and what is wrong there.
        """
        policy, content = load_policy(file)
        tables = load_tables()
        templates = Templates.beside(file, policy.pixels.whole.templates)
        rules = tuple(Rulebook(tables, policy).describe())
        return cls(
            file, policy, digest(content + templates.content, tables.digest), tables.methods, rules, len(templates.all)
        )

    def line(self, key: str) -> int:
        """The line on which a field of the file stands."""
        return Lines.of(self.file, self.file.read_bytes()).at.get((key,), 1)

    def rules(self, tag: str | None = None, find: str | None = None, action: str | None = None) -> list[Listed]:
        """The rules that fit all that is given.

        Args:
            tag: How the tag begins, with or without its comma and parentheses.
            find: A part of the name, in any case.
            action: An action code.
        """
        begin = "".join(letter for letter in (tag or "").lower() if letter.isalnum())
        return [
            rule
            for rule in self.listed
            if (not tag or "".join(filter(str.isalnum, rule.tag.lower())).startswith(begin))
            and (not find or find.casefold() in rule.name.casefold())
            and (not action or action in rule.code.split("/"))
        ]

    def settings(self) -> dict[str, Any]:
        """What the file says besides options and own rules."""
        said = self.policy.model_dump(mode="json", exclude={"name", "description", "options", "rules", "pixels"})
        said |= {f"pixels.{key}": value for key, value in _flat(self.policy.pixels.model_dump(mode="json"))}
        return said

    def notes(self) -> Iterator[str]:
        """What is no error, and ought to be known by who signs."""
        if self.file.stem != self.policy.name:
            yield f"its name is not that of the file {self.file.name}; a gateway offers a policy only where both agree"
        if FULL_DATES in self.policy.options:
            yield f"option {FULL_DATES} leaves every date as it is: with another source of dates a patient can be found"
        if RETAIN_UIDS in self.policy.options:
            yield f"option {RETAIN_UIDS} leaves every UID as it is: whoever has the original finds it by its UID"
        if not self.policy.pixels.look:
            yield "pixels.look is false: what is printed into the pixels goes on"
        basic = {row.tag: row for row in self.listed if row.source.startswith(("Table", "option"))}
        for rule in self.policy.rules:
            row = basic.get(rule.tag)
            if rule.action in ("keep", "clean") and row is not None and set(row.code.split("/")) & _NOT_KEPT:
                yield (
                    f"line {self.line('rules')}: {rule.tag} {row.name} is kept or cleaned where the profile has "
                    f"{row.code}: the object does not conform to what it claims"
                )


def is_templates(file: Path) -> bool:
    """Whether a file holds region templates, and is no policy."""
    document = Lines.of(file, file.read_bytes()).document
    return isinstance(document, dict) and "templates" in document and "profile" not in document


def check_templates(file: Path) -> int:
    """How many templates a file holds. Raises ValueError, which names file and line."""
    return len(Templates.load(file).all)


def _flat(document: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value
