"""``cordon policy``: check de-identification policies, show what they do to each attribute, and compare two of them."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gateway.cli.errors import fail
from gateway.cli.policy_view import as_json, differences, markdown, overview, rules_table
from gateway.deid.policy_book import Book, check_templates, is_templates

app = typer.Typer(
    no_args_is_help=True,
    help="Check, show and compare de-identification policies (policies/deid/*.yaml). Nothing is sent or changed.",
    epilog="Examples:\n\ncordon policy check policies/deid/*.yaml\n\n"
    "cordon policy show policies/deid/research.yaml --find 'Study Date'\n\n"
    "cordon policy diff policies/deid/basic.yaml policies/deid/research.yaml",
)

_File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE", help="A policy")]


class Code(StrEnum):
    """The action codes of PS3.15 Table E.1-1a."""

    X = "X"
    Z = "Z"
    D = "D"
    K = "K"
    C = "C"
    U = "U"


@app.command(epilog="Example:\n\ncordon policy check policies/deid/*.yaml && echo signed off")
def check(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, metavar="FILE...", help="Policies")],
) -> None:
    """Read policies as the gateway does at its start. Each error names its file and line; any error exits with 1.

    What is no error, but ought to be known before a policy is signed, is said as a note.
    """
    wrong = False
    names: dict[str, Path] = {}
    for file in files:
        try:
            if is_templates(file):
                typer.echo(f"{file}: {check_templates(file)} region templates")
                continue
            book = Book.load(file)
        except ValueError as error:
            fail(str(error))
            wrong = True
            continue
        if (other := names.setdefault(book.policy.name, file)) != file:
            fail(f"{file} line {book.line('name')}: name: {other} has the same name")
            wrong = True
        options = ", ".join(book.policy.options) or "no options"
        typer.echo(f"{file}: {book.policy.name}, {book.policy.profile} with {options}; digest {book.digest[:16]}")
        for note in book.notes():
            typer.echo(f"  note: {note}")
    if wrong:
        raise typer.Exit(1)


@app.command(
    epilog="Examples:\n\ncordon policy show policies/deid/basic.yaml\n\n"
    "cordon policy show policies/deid/research.yaml --action C\n\n"
    "cordon policy show policies/deid/research.yaml --tag 0008,1030\n\n"
    "cordon policy show policies/deid/basic.yaml policies/deid/research.yaml --markdown > rules.md"
)
def show(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, metavar="FILE...", help="Policies")],
    *,
    tag: Annotated[
        str | None, typer.Option(metavar="GGGG[,EEEE]", help="Attributes whose tag begins so: 0008,1030, 0010, 60")
    ] = None,
    find: Annotated[str | None, typer.Option(metavar="TEXT", help="Attributes with this in their name")] = None,
    action: Annotated[Code | None, typer.Option(help="Attributes with this action code", case_sensitive=False)] = None,
    json_: Annotated[bool, typer.Option("--json", help="As JSON")] = False,
    markdown_: Annotated[bool, typer.Option("--markdown", help="As a document: all policies side by side")] = False,
) -> None:
    """Say what a policy does: as a whole, and to every attribute, with the reason."""
    books = _books(files)
    if markdown_:
        typer.echo(markdown(books), nl=False)
        return
    chosen = [(book, book.rules(tag, find, action)) for book in books]
    if json_:
        answer = [as_json(book, rules) for book, rules in chosen]
        typer.echo(json.dumps(answer[0] if len(answer) == 1 else answer, indent=2, ensure_ascii=False))
        return
    console = Console()
    for book, rules in chosen:
        if not (tag or find or action):
            console.print(overview(book))
        if not rules:
            raise fail("No rule fits. Tags are written 0008,1030; names as in the data dictionary: 'Study Date'")
        console.print(rules_table(rules))


@app.command(epilog="Example:\n\ncordon policy diff policies/deid/basic.yaml policies/deid/research.yaml")
def diff(
    old: _File,
    new: _File,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Every attribute, not the first few that change alike")] = False,
    json_: Annotated[bool, typer.Option("--json", help="As JSON")] = False,
) -> None:
    """Say what a change of policy changes: options, settings, and the treatment of each attribute. Exits with 0."""
    before, after = _books([old, new])
    changes = differences(before, after)
    if json_:
        typer.echo(json.dumps(changes.as_json(), indent=2, ensure_ascii=False))
        return
    console = Console()
    if changes.empty:
        console.print("Nothing differs but perhaps names, descriptions and comments.")
        return
    for table in changes.tables(before.policy.name, after.policy.name, whole=all_):
        console.print(table)


def _books(files: list[Path]) -> list[Book]:
    try:
        return [Book.load(file) for file in files]
    except ValueError as error:
        raise fail(str(error)) from None
