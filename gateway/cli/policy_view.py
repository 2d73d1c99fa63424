"""``cordon policy``: rules and differences as tables, as JSON, and as a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Group
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.deid.policy_book import Book
    from gateway.deid.rulebook import Listed

CODES = {
    "X": "removed",
    "Z": "emptied, or replaced by a stand-in",
    "D": "replaced by a dummy value",
    "K": "kept",
    "C": "cleaned: what identifies is taken out, dates are moved",
    "U": "replaced by a new UID, the same one wherever the old one stands",
}
_ABSENT = "-"
_SHOWN = 5


class Change(NamedTuple):
    """One thing that differs."""

    what: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Differences:
    """Between two policies: CID 7050 options, settings, and attributes by tag and name."""

    options: tuple[Change, ...]
    settings: tuple[Change, ...]
    attributes: tuple[Change, ...]

    @property
    def empty(self) -> bool:
        """Nothing differs."""
        return not (self.options or self.settings or self.attributes)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            name: [change._asdict() for change in changes]
            for name, changes in (
                ("options", self.options), ("settings", self.settings), ("attributes", self.attributes),
            )
        }  # fmt: skip

    def tables(self, old: str, new: str, *, whole: bool = False) -> Iterator[Table]:
        """One a kind, without those that are empty. Attributes whose treatment changes alike share a row.

        Args:
            old: Name of the first policy.
            new: Name of the second.
            whole: List every attribute, not the first few of a row.
        """
        for title, changes in (("Options", self.options), ("Settings", self.settings)):
            if changes:
                yield _changes_table(f"{title}: {len(changes)} differ", ("what", old, new), changes)
        if self.attributes:
            alike: dict[tuple[str, str], list[str]] = {}
            for change in self.attributes:
                alike.setdefault((change.old, change.new), []).append(change.what)
            rows = [Change(_some(names, whole=whole), *treatment) for treatment, names in alike.items()]
            yield _changes_table(f"Attributes: {len(self.attributes)} differ", ("attributes", old, new), rows)


def _changes_table(title: str, columns: tuple[str, str, str], changes: Sequence[Change]) -> Table:
    table = Table(title=title, title_justify="left", expand=True, show_lines=True)
    for column in columns:
        table.add_column(column, ratio=1)
    for change in changes:
        table.add_row(*change)
    return table


def _some(names: list[str], *, whole: bool) -> str:
    if whole or len(names) <= _SHOWN + 1:
        return "\n".join(names)
    return "\n".join([*names[:_SHOWN], f"and {len(names) - _SHOWN} more (--all)"])


def differences(before: Book, after: Book) -> Differences:
    """What differs between two policies, but for their names and descriptions."""
    options = [
        Change(f"{code} {before.methods[code]}", "yes" if old else "no", "no" if old else "yes")
        for code in before.methods
        if (old := code in before.policy.methods) != (code in after.policy.methods)
    ]
    one, other = before.settings(), after.settings()
    settings = [
        Change(key, _said(one.get(key)), _said(other.get(key)))
        for key in [*one, *(key for key in other if key not in one)]
        if one.get(key) != other.get(key)
    ]
    old_rules, new_rules = _in_force(before), _in_force(after)
    attributes = [
        Change(" ".join(key), _treatment(old_rules.get(key)), _treatment(new_rules.get(key)))
        for key in [*old_rules, *(key for key in new_rules if key not in old_rules)]
        if _essence(old_rules.get(key)) != _essence(new_rules.get(key))
    ]
    return Differences(tuple(options), tuple(settings), tuple(attributes))


def overview(book: Book) -> Group:
    """The policy as a whole."""
    policy = book.policy
    settings = Table(title=f"Policy {policy.name}", title_justify="left", show_header=False, expand=True)
    settings.add_column(ratio=1)
    settings.add_column(ratio=3)
    settings.add_row("for", policy.description)
    settings.add_row("digest", book.digest)
    for key, value in book.settings().items():
        if key != "profile":
            settings.add_row(key, _said(value))
    settings.add_row("regions by device", str(book.templates))
    options = Table(title="Profile and options (PS3.16 CID 7050)", title_justify="left", expand=True)
    options.add_column("code", width=8)
    options.add_column("meaning", ratio=1)
    options.add_column("", width=12)
    for code, meaning in book.methods.items():
        options.add_row(code, meaning, "claimed" if code in policy.methods else "not claimed")
    return Group(settings, options)


def rules_table(rules: Sequence[Listed]) -> Table:
    """One row a rule."""
    table = Table(title=f"Rules: {len(rules)}", title_justify="left", expand=True)
    table.add_column("tag", width=11)
    table.add_column("attribute", ratio=2)
    table.add_column("code", width=7)
    table.add_column("by", width=14)
    table.add_column("what is done", ratio=4)
    for rule in rules:
        table.add_row(rule.tag, rule.name, rule.code, rule.source, rule.sentence)
    return table


def as_json(book: Book, rules: Sequence[Listed]) -> dict[str, Any]:
    """For programs."""
    return {
        "name": book.policy.name,
        "digest": book.digest,
        "methods": {code: book.methods[code] for code in book.policy.methods},
        "settings": book.settings(),
        "rules": [rule._asdict() for rule in rules],
    }


def markdown(books: Sequence[Book]) -> str:
    """A document: the sentences numbered, then every attribute with its action code and sentence under each policy."""
    numbers: dict[str, int] = {}
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for book in books:
        for key, rule in _in_force(book).items():
            number = numbers.setdefault(rule.sentence, len(numbers) + 1)
            mark = "" if rule.source.startswith("Table") else f" <sub>{rule.source.removeprefix('option ')}</sub>"
            rows.setdefault(key, {})[book.policy.name] = f"{rule.code} [{number}](#r{number}){mark}"
    names = [book.policy.name for book in books]
    lines = [
        "# What is done to every attribute",
        "",
        "Made by `make docs` from the policies and tables themselves; do not edit. Each cell has the action code",
        "(PS3.15 Table E.1-1a), the number of the sentence below, and who decided where it is not Table E.1-1: the",
        "code of an option (PS3.16 CID 7050), the allow-list, the Value Representation, the site's own rule, or the",
        "gateway.",
        "",
        "## Codes",
        "",
        *(f"* **{code}** {meaning}" for code, meaning in CODES.items()),
        "",
        "A code with strokes (X/Z/D) goes by the type of the attribute in the object's SOP class: optional removed,",
        "type 2 emptied, type 1 replaced.",
        "",
        "## Sentences",
        "",
        *(f'* <a id="r{number}"></a>**{number}** {_plain(sentence)}' for sentence, number in numbers.items()),
        "",
        "## Attributes",
        "",
        f"| tag | attribute | {' | '.join(names)} |",
        f"|---|---|{'---|' * len(names)}",
    ]
    for (tag, name), cells in rows.items():
        lines.append(f"| {tag} | {_plain(name)} | {' | '.join(cells.get(name, _ABSENT) for name in names)} |")
    return "\n".join(lines) + "\n"


def _in_force(book: Book) -> dict[tuple[str, str], Listed]:
    """The first rule of each attribute: a site's own goes before the others."""
    rules: dict[tuple[str, str], Listed] = {}
    for rule in book.listed:
        rules.setdefault((rule.tag, rule.name), rule)
    return rules


def _essence(rule: Listed | None) -> tuple[str, str] | None:
    return None if rule is None else (rule.code, rule.sentence)


def _treatment(rule: Listed | None) -> str:
    return _ABSENT if rule is None else f"{rule.code}: {rule.sentence}"


def _said(value: Any) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(one)}" for key, one in value.items())
    return str(value)


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
