"""Step 3 of 7: an instance's own numbers, addresses and names without spaces, found in free text in other forms."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from gateway.deid.patterns import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.deid.identifiers import Identifiers
    from gateway.deid.tokens import Token

_SHORT = 4  # up to so many characters a number may be a measure
_APART = 4  # so many signs may stand between two parts of one number: "+49 (0) 170 / 12"
_NUMBER = re.compile(r"(?<![\w.,/])\d{2,4}(?![\w/]|[.,]\d)")
_LONG = 4  # letters of a name that is looked for with its letters apart
_LETTERS_APART = re.compile(r"(?<![^\W_])(?:[^\W\d_][ .-]){3,200}[^\W\d_](?![^\W_])")
_DIVIDED = re.compile(r"(?<![^\W\d_])([^\W\d_]{1,40})-[ \t]?[\r\n]{1,2}[ \t]{0,8}([^\W\d_]{1,40})(?![^\W\d_])")
_DIGIT = re.compile(r"\d")
_SIGNS = re.compile(r"[\W_]+")
_UNIT = re.compile(
    r"\s?(?:mm|cm|ml|mg|kg|msec|ms|s|secs?|seconds|x|%|deg|degrees|t|tesla|years?|yrs?|jahre|ans|anos|anni|hu|kvp?|mas?|m?hz|gy|"
    r"slices?|images?|frames?|weeks?|days?|months?|hours?|min|minutes|wochen|tage|monate|schichten|slabs?|phases?)(?![^\W_])"
)


def find(folded: str, tokens: list[Token], known: Identifiers) -> Iterator[Span]:
    """Every known number, address and name without spaces in a folded text.

    A number so short that it may be a measure has the kind ``number``.
    """
    if known.codes and _DIGIT.search(folded):  # every code has one
        yield from _codes(folded, known.codes)
    for script in known.scripts:
        yield from _script(folded, script)
    if known.phrases:
        yield from _phrases(tokens, known)
    if known.words:
        yield from _apart(folded, known)


def _codes(folded: str, codes: set[str]) -> Iterator[Span]:
    for match in _NUMBER.finditer(folded):
        if match[0] in codes and not _UNIT.match(folded, match.end()):
            yield Span(match.start(), match.end(), "number")
    bare = _SIGNS.sub("", folded)
    there = [code for code in codes if not (len(code) <= _SHORT and code.isdigit()) and code in bare]
    if not there:
        return
    places = [place for place, letter in enumerate(folded) if letter.isalnum()]
    for code in there:
        at = bare.find(code)
        while at != -1:
            last = at + len(code) - 1
            start, end = places[at], places[last] + 1
            inside = places[at : last + 1]
            # A longer number that holds this one is another number; letters may stand beside digits ("MRN" + number).
            whole = not (
                (start and _continues(folded[start - 1], folded[start]))
                or (end < len(folded) and _continues(folded[end], folded[end - 1]))
            )
            if whole and all(later - earlier <= _APART for earlier, later in pairwise(inside)):
                yield Span(start, end, "id")
            at = bare.find(code, at + 1)


def _continues(one: str, other: str) -> bool:
    return (one.isdigit() and other.isdigit()) or (one.isalpha() and other.isalpha())


def _script(folded: str, script: str) -> Iterator[Span]:
    at = folded.find(script) if len(script) > 1 else -1
    while at != -1:
        yield Span(at, at + len(script), "name")
        at = folded.find(script, at + len(script))


def _apart(folded: str, known: Identifiers) -> Iterator[Span]:
    """Names with their letters apart, and names that the end of a line divides."""
    for match in _LETTERS_APART.finditer(folded):
        bare = "".join(filter(str.isalpha, match[0]))
        if any(len(name) >= _LONG and name in bare for name in known.words):
            yield Span(match.start(), match.end(), "name")
    for match in _DIVIDED.finditer(folded) if "-" in folded else ():
        if match[1] + match[2] in known.words:
            yield Span(match.start(), match.end(), "name")


def _phrases(tokens: list[Token], known: Identifiers) -> Iterator[Span]:
    for number, token in enumerate(tokens):
        for kind, phrase in known.phrases.get(token.word, ()):
            if tuple(other.word for other in tokens[number : number + len(phrase)]) == phrase:
                yield Span(token.start, tokens[number + len(phrase) - 1].end, kind)
