"""Step 3 of 7: the words of a text: where each stands, folded, and how it is written."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

Shape: TypeAlias = Literal["lower", "title", "upper", "initial"]

_WORD = re.compile(r"[^\W\d_]+")


class Token(NamedTuple):
    """A run of letters.

    Attributes:
        start: First place in the folded text.
        end: Place after the last.
        word: Folded.
        shape: ``title`` has a capital first and a small letter after it; ``initial`` is one capital; ``lower`` starts
            small or has no case.
    """

    start: int
    end: int
    word: str
    shape: Shape


def tokens_of(text: str, folded: str, places: list[int] | None) -> list[Token]:
    """The words of a text, in order.

    Args:
        text: As it is.
        folded: vocabulary.fold_with_places of it.
        places: The same.
    """
    found = []
    for match in _WORD.finditer(folded):
        start, end = match.span()
        word = text[start:end] if places is None else text[places[start] : places[end - 1] + 1]
        found.append(Token(start, end, match[0], _shape(word)))
    return found


def _shape(word: str) -> Shape:
    if not word[0].isupper():
        return "lower"
    if len(word) == 1:
        return "initial"
    return "upper" if word.isupper() else "title"
