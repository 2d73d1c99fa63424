"""Policies, read-only: what is in force, since when, what it says, and what differs from what was in force before."""

from __future__ import annotations

import asyncio
import difflib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from starlette.responses import Response

from gateway.api.parts import Joined, Parts
from gateway.api.query import once
from gateway.audit.events import PolicyChanged
from gateway.audit.policy_texts import digest_of
from gateway.audit.search import Filters
from gateway.console.pages import HOME, from_script, page
from gateway.deid.policy_book import Book
from gateway.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.deid.rulebook import Listed

_TAG = re.compile(r"^\(?[0-9a-fA-F]{2,4}")
PATH = f"{HOME}/policies"
CHANGES = 200
"""Changes that are looked through, the newest."""
LINES = 1500
"""Lines of a difference that are shown."""
DEID = "deid "
ABOUT = {
    "access": "Who may do what: routes, scopes, roles, outside issuers",
    "plans": "How much each plan may ask for",
    "models": "Which models are offered, and what they take",
    "retention": "How long the audit log is kept",
}
ACTIONS = {"X": "Removed", "Z": "Emptied", "D": "Dummy value", "K": "Kept", "C": "Cleaned", "U": "New UID"}
"""Action codes of PS3.15 Table E.1-1a in a word or two."""

router = APIRouter(include_in_schema=False, prefix=PATH)
Name = Annotated[str, InPath(pattern=r"^[a-z0-9_-]{1,80}$")]


@dataclass(frozen=True, slots=True)
class Version:
    """A change of one policy, as it is on record: from ``previous`` to ``digest``; an empty one is none."""

    number: int
    time: str
    digest: str
    previous: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A policy that is in force.

    Attributes:
        name: As it is on record, such as ``deid basic``.
        slug: In an address.
        digest: SHA-256 of its file as it was read at the start.
        waits: Whether the file has changed since: that is in force with the next start.
        versions: Its changes on record, the newest first.
    """

    name: str
    slug: str
    digest: str
    waits: bool
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a difference: ``+``, ``-``, `` `` or ``@`` where lines are left out."""

    kind: str
    text: str


@router.get("")
async def policies(request: Request, joined: Joined) -> Response:
    """All that are in force."""
    return page(
        request, "policies.html", policies=await _standing(joined), own=joined.deid_policies.own, about=ABOUT, deid=DEID
    )


@router.get("/{name}")
async def policy(name: Name, request: Request, joined: Joined) -> Response:
    """One of them."""
    once(request.scope)
    every = await _standing(joined)
    standing = next((each for each in every if each.slug == name), None)
    if standing is None:
        raise NotFound("No such policy is in force")
    text = joined.policy_texts.in_force[standing.name]
    others = [each for each in every if each.name.startswith(DEID) and each is not standing]
    choices = _choices(standing, others if standing.name.startswith(DEID) else [])
    chosen = request.query_params.get("with", "")
    if chosen not in choices:
        chosen = next(iter(choices), "")
    before = await joined.policy_texts.find(chosen) if chosen else None
    book = await _book(joined, standing)
    sought = request.query_params.get("q", "").strip()[:100]
    part = from_script(request.scope)
    return page(
        request,
        "_rules.html" if part else "policy.html",
        policy=standing,
        text=text,
        about=ABOUT.get(standing.name, ""),
        file=joined.policy_texts.files[standing.name].name,
        choices=choices,
        chosen=chosen,
        difference=None if before is None else difference(before, text),
        book=book,
        rules=_fitting(book, sought) if book else [],
        q=sought,
        actions=ACTIONS,
    )


def difference(before: str, after: str) -> list[Line]:
    """What differs between two texts, with three lines around it; empty if nothing does."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)
    found = [Line(line[:1], line[1:]) for line in list(lines)[2:]]  # the first two name files
    return found[:LINES]


async def _standing(joined: Parts) -> list[Standing]:
    found = await joined.audit.newest(Filters(type=PolicyChanged.type_name), None, CHANGES)
    versions: dict[str, list[Version]] = {}
    for record in found:
        said = record.fields
        version = Version(int(said["seq"]), said["time"], said["digest"], said["previous"])
        versions.setdefault(said["policy"], []).append(version)
    texts = joined.policy_texts
    now = await asyncio.to_thread(_on_disk, texts.files.items())
    standing = []
    for name, text in texts.in_force.items():
        digest = digest_of(text.encode())
        standing.append(
            Standing(name, name.replace(" ", "-"), digest, now[name] != digest, tuple(versions.get(name, ())))
        )
    return standing


def _on_disk(files: Iterable[tuple[str, Path]]) -> dict[str, str]:
    """Name to digest; of a file that cannot be read an empty one."""
    found = {}
    for name, path in files:
        try:
            found[name] = digest_of(path.read_bytes())
        except OSError:
            found[name] = ""
    return found


def _choices(standing: Standing, others: list[Standing]) -> dict[str, str]:
    """Digest to what it is called: what was in force before, the newest first, then the others on offer."""
    before = {
        version.previous: f"In force until {version.time[:16].replace('T', ' ')} UTC"
        for version in standing.versions
        if version.previous and version.previous != standing.digest
    }
    return before | {each.digest: f"The policy {each.name.removeprefix(DEID)}" for each in others}


async def _book(joined: Parts, standing: Standing) -> Book | None:
    """The rules of a de-identification policy; None of others, and where the file is not any more what is in force."""
    if not standing.name.startswith(DEID) or standing.waits:
        return None
    return await asyncio.to_thread(_read, joined.policy_texts.files[standing.name], standing.digest)


@lru_cache(maxsize=16)
def _read(file: Path, digest: str) -> Book | None:
    """Read again, since the gateway itself keeps no sentences; a file that changed meanwhile is not what was asked."""
    book = Book.load(file)
    return book if digest_of(file.read_bytes()) == digest else None


def _fitting(book: Book, sought: str) -> list[Listed]:
    """The rules whose tag begins so, then those with this in their name; all if nothing is sought."""
    if not sought:
        return list(book.listed)
    return list(dict.fromkeys([*(book.rules(tag=sought) if _TAG.search(sought) else ()), *book.rules(find=sought)]))
