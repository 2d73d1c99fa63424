"""Step 3 of 7: identifiers in free text. What identifies is replaced where it stands; the rest of the text is kept.

Three sources: what the instance's own identifying attributes held (identifiers.py), what identifies by its form
(patterns.py), and names by a lexicon together with what stands beside them (names.py). Words of medicine are kept:
Parkinson, Cushing, a Baker cyst. Time is linear in the text.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from gateway.deid import known_forms, patterns
from gateway.deid.names import NameFinder
from gateway.deid.patterns import Span
from gateway.deid.tokens import tokens_of
from gateway.deid.vocabulary import fold_with_places, load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gateway.deid.identifiers import Identifiers
    from gateway.deid.tokens import Token

REMOVED = "[removed]"
_Key = TypeVar("_Key")
_REPORTED = {"street": "address", "postal": "address", "number": "id"}

_SPACES = re.compile(r"[ \t]{2,}")
_MOST_BEFORE_A_SUFFIX = 6
_FACILITY = re.compile(
    r"(?<![^\W\d_])(?:hospitals?|klinik|kliniken|klinikum|clinics?|clinique|clinica|krankenhaus|spital|hopital|ospedale|ziekenhuis|"
    r"infirmary|sanatorium|praxis|policlinico|poliklinik|charite|university|universitat|universite|universidad)(?![^\W\d_])"
)
_NUMBER = re.compile(r"\d{2,4}")
_NUMBERED = re.compile(r"(?<![^\W_])(?:no|nr|num|number|id|n°|#)[.:#=]?[ \t]{0,2}$")
_MOST_IN_A_SHORT_WORD = 3
_SHORT_CODE = 4
_MOST_REMEMBERED = 128  # characters
_MOST_TEXTS = 8192


class Cleaned(NamedTuple):
    """A text without what identifies.

    Attributes:
        text: The text, with ``REMOVED`` in each place, or nothing where that would be too long.
        found: What was removed, by kind: name, id, date, phone, address, email, url, age. Counts, never a value.
    """

    text: str
    found: Mapping[str, int]


class _Plain(NamedTuple):
    """What a text of vocabulary words consists of: enough to see whether another instance's identifiers are in it."""

    words: frozenset[str]
    numbers: frozenset[str]
    bare: str

    @classmethod
    def of(cls, folded: str, tokens: list[Token]) -> _Plain:
        bare = "".join(filter(str.isalnum, folded))
        return cls(frozenset(token.word for token in tokens), frozenset(_NUMBER.findall(folded)), bare)

    def holds(self, known: Identifiers, shortest: int) -> bool:
        return not (
            self.words.isdisjoint(known.words)
            and self.words.isdisjoint(known.places)
            and self.words.isdisjoint(known.phrases)
            and not any(
                code in self.bare if len(code) > _SHORT_CODE else len(code) >= shortest and code in self.numbers
                for code in known.codes
            )
        )


class FreeText:
    """The cleaner. Holds words of languages only, nothing of any instance.

    Values repeat from file to file: a text that consists of vocabulary words alone, and in which nothing was found, is
    remembered as such. For each instance it is held against that instance's own identifiers anew.
    """

    def __init__(self) -> None:
        self._words = load_vocabulary()
        self._names = NameFinder(self._words)
        self._clean: dict[str, _Plain] = {}
        self._technical: dict[tuple[str, int], _Plain] = {}

    def clean(self, text: str, known: Identifiers, most: int | None = None) -> Cleaned:
        """Replace what identifies.

        Args:
            text: One value, of any length.
            known: What the identifying attributes of the same instance held.
            most: The length that the value's VR allows, in characters.
        """
        if (plain := self._clean.get(text)) is not None and not plain.holds(known, 2):
            return Cleaned(text, {})
        spans = self.find(text, known)
        if not spans:
            return Cleaned(text, {})
        parts: list[str] = []
        at = 0
        for span in spans:
            parts.append(text[at : span.start])
            at = span.end
        parts.append(text[at:])
        cleaned = REMOVED.join(parts)
        if most is not None and len(cleaned) > most:
            cleaned = _SPACES.sub(" ", " ".join(part.strip() for part in parts)).strip(" ,;:-^")[:most]
        return Cleaned(cleaned, dict(Counter(span.kind for span in spans)))

    def find(self, text: str, known: Identifiers) -> list[Span]:
        """What identifies in a text: places and kinds, in order and without overlaps."""
        folded, places = fold_with_places(text)
        tokens = tokens_of(text, folded, places)
        spans = _merged(self._spans(folded, places, tokens, known), folded)
        if places is not None:
            return [Span(places[span.start], places[span.end - 1] + 1, span.kind) for span in spans]
        if not spans and len(text) <= _MOST_REMEMBERED and all(self._is_safe(token.word) for token in tokens):
            _remember(self._clean, text, _Plain.of(folded, tokens))
        return spans

    def is_technical(self, text: str, known: Identifiers, own: int = 0) -> bool:
        """Whether a value of a technical attribute says nothing but technical things, and may be kept as it is.

        Each word must be an ordinary, medical or technical one, or have three letters at most; a code must have few
        digits; and none of the three sources may find anything.

        Args:
            text: The value.
            known: What the identifying attributes of the same instance held.
            own: How many words may be a maker's or a product's own, if other words or numbers stand beside them.
        """
        if (plain := self._technical.get((text, own))) is not None and not plain.holds(known, _SHORT_CODE):
            return True
        folded, places = fold_with_places(text)
        tokens = tokens_of(text, folded, places)
        strange = [token for token in tokens if not self._is_safe(token.word)]
        beside = any(token.word in self._words.trade for token in tokens) or any(map(str.isdigit, folded))
        if len(strange) > own or (strange and not beside):
            return False
        if any(
            (token.word in known.words and token.word.upper() not in known.terms) or token.word in known.places
            for token in tokens
        ):
            return False
        if strange and (_FACILITY.search(folded) or any(self._words.announces_a_name(token.word) for token in tokens)):
            return False
        spans = self._spans(folded, places, tokens, known)
        if any(not self._is_own(span, strange, folded) for span in spans):
            return False
        if places is None and not strange and len(text) <= _MOST_REMEMBERED:
            _remember(self._technical, (text, own), _Plain.of(folded, tokens))
        return True

    def _is_own(self, span: Span, strange: list[Token], folded: str) -> bool:
        """A find that is no reason: a product's own name, or a short number that is an instance's as well.

        Behind ``no.`` or the like a short number is no measure.
        """
        if span.kind == "number":
            said = _NUMBERED.search(folded, max(0, span.start - 12), span.start)
            return span.end - span.start < _SHORT_CODE and said is None
        return span.kind == "name" and any(token.start <= span.start and span.end <= token.end for token in strange)

    def _is_safe(self, word: str) -> bool:
        return self._words.is_word(word) or (len(word) <= _MOST_IN_A_SHORT_WORD and not self._words.is_name(word))

    def _spans(self, folded: str, places: list[int] | None, tokens: list[Token], known: Identifiers) -> list[Span]:
        spans = list(self._names.find(folded, tokens, known))
        if patterns.WORTH_A_LOOK.search(folded):
            capitals = {token.start for token in tokens if token.shape in {"title", "upper"}}
            mixed = len(capitals) < len(tokens) and bool(capitals)
            spans += (
                self._from_the_street(span, tokens) if span.kind == "postal" else span
                for span in patterns.find(folded, tokens)
                # A street has a capital, unless the whole text is written in one case.
                if (span.kind != "street" or not mixed or not capitals.isdisjoint(range(span.start, span.end)))
                and (span.kind != "postal" or self._is_postal(span, tokens))
            )
        spans += known_forms.find(folded, tokens, known)
        if places is not None:
            spans += self._before_suffixes(folded)
        return spans

    def _from_the_street(self, span: Span, tokens: list[Token]) -> Span:
        """From the word before the house number on, with what belongs to it: ``Via dei`` Tigli."""
        inside = [token for token in tokens if span.start <= token.start < span.number]
        first = len(inside) - 1
        while first > 0 and (
            inside[first - 1].word in self._words.particles
            or (inside[first - 1].shape == "title" and self._words.is_word(inside[first - 1].word))
        ):
            first -= 1
        return span._replace(start=inside[first].start)

    def _is_postal(self, span: Span, tokens: list[Token]) -> bool:
        """Numbers between words may be measures: the last word must be a place's, that is no word, with a capital."""
        town = next(token for token in tokens if token.end == span.end or token.start <= span.end - 1 < token.end)
        return town.shape in {"title", "upper"} and not self._words.is_word(town.word)

    def _before_suffixes(self, folded: str) -> Iterator[Span]:
        """A name in a script without spaces, before ``san``, ``sensei`` and the like."""
        for suffix in self._words.suffixes:
            at = folded.find(suffix)
            while at != -1:
                start = at
                while at - start < _MOST_BEFORE_A_SUFFIX and start and _is_spaceless(folded[start - 1]):
                    start -= 1
                if start < at:
                    yield Span(start, at, "name")
                at = folded.find(suffix, at + len(suffix))


def _remember(texts: dict[_Key, _Plain], key: _Key, plain: _Plain) -> None:
    if len(texts) >= _MOST_TEXTS:
        texts.clear()
    texts[key] = plain


def _is_spaceless(letter: str) -> bool:
    """Kanji, Katakana or Hangul. Hiragana, which is folded to Katakana, cannot be told apart: it is taken too."""
    return letter >= "⺀" and letter.isalpha()


def _merged(spans: Iterable[Span], folded: str) -> list[Span]:
    """Without overlaps, in order. Where two kinds overlap, the first and longest names the whole."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        end = span.end
        while end > span.start and folded[end - 1].isspace():
            end -= 1
        kind = _REPORTED.get(span.kind, span.kind)
        if merged and span.start < merged[-1].end:
            merged[-1] = merged[-1]._replace(end=max(end, merged[-1].end))
        elif end > span.start:
            merged.append(Span(span.start, end, kind))
    return merged
