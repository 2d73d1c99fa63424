"""Step 3 of 7: how a name in Cyrillic or Greek letters may be written in Latin ones, in a text of the same instance."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from unicodedata import normalize

from gateway.deid.vocabulary import fold

TABLE = Path(__file__).parent / "tables" / "romanization.csv"

_SCHEMES = ("english", "german", "french", "science")


def romanized(word: str) -> set[str]:
    """The forms of a word, folded (vocabulary.fold); none if it has no such letters.

    The schemes are BGN/PCGN, ELOT 743, ISO 9 and those of the press. A final ``y`` for ``iy`` or ``yy`` is usual.
    """
    if not any("\u0370" <= letter <= "\u052f" for letter in word):
        return set()
    # Two Cyrillic letters have marks that are not accents, and are other sounds than the letters without.
    word = "".join(letter if letter in "йё" else fold(letter) for letter in normalize("NFC", word.lower()))
    forms = {_written(word, scheme) for scheme in range(len(_SCHEMES))}
    return forms | {form[:-2] + "y" for form in forms if form.endswith(("iy", "yy", "ij", "yj"))}


def _written(word: str, scheme: int) -> str:
    letters = _letters()
    parts = []
    at = 0
    while at < len(word):
        pair = word[at : at + 2]
        taken = pair if pair in letters else word[at]
        parts.append(letters[taken][scheme] if taken in letters else taken)
        at += len(taken)
    return "".join(parts)


@lru_cache(maxsize=1)
def _letters() -> dict[str, tuple[str, ...]]:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    return {row["letters"]: tuple(row[scheme] for scheme in _SCHEMES) for row in csv.DictReader(lines)}
