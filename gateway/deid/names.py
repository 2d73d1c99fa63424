"""Step 3 of 7: names in free text: the instance's own, and others by a lexicon and by what stands beside them.

A word that is only a name goes wherever it is written with a capital. A word that is a name and a word as well goes
beside a title, a label or a given name. An eponym stays unless a title or a given name stands beside it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from gateway.deid.gaps import AFTER_TITLE, CARET, COLON, COMMA, NEAR, between, close, ends_sentence, given_after_comma
from gateway.deid.patterns import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.deid.identifiers import Identifiers
    from gateway.deid.tokens import Token
    from gateway.deid.vocabulary import Vocabulary

_MIN_ALONE = 4  # letters of a name that is recognized by itself
_MIN_COMPOUND = 5  # letters of a known name that is recognized as a part of a longer word
_MOST_IN_A_NAME = 5
_NOBLE = frozenset({"von", "van", "vom", "zu", "zum", "zur", "della", "bin", "ibn"})
_JOINS = frozenset({"-", "'", "^", ","})
_CAPITALS = frozenset({"title", "upper", "initial"})
_ANATOMY = frozenset({"a", "v", "n", "m"})  # arteria, vena, nervus, musculus: what follows is no name
_MIN_PROSE = 3
_ALSO_MODALITIES = frozenset({"dr", "pr", "mr", "ms", "sr", "fr", "pd", "hr", "pan", "don", "sig"})
_AND_TITLES = frozenset({"med", "univ", "priv", "doz", "habil", "ing", "nat", "rer", "ssa", "ra", "in"})


class NameFinder:
    """Finds names. Holds words of the language only."""

    def __init__(self, words: Vocabulary) -> None:
        self._words = words

    def find(self, folded: str, tokens: list[Token], known: Identifiers) -> Iterator[Span]:
        """The names in a text.

        Args:
            folded: The folded text.
            tokens: Its words.
            known: The names that the identifying attributes held.
        """
        if known.places:
            yield from (Span(token.start, token.end, "address") for token in tokens if token.word in known.places)
        hits = self._known(folded, tokens, known)
        # Where nothing is written small, a capital says nothing.
        shouted = not any(token.shape in ("lower", "title") for token in tokens)
        own = (False,) * len(tokens) if shouted else tuple(hits)
        if tokens:
            self._beside_titles(folded, tokens, hits, shouted=shouted)
            self._pairs(folded, tokens, hits, shouted=shouted)
            self._alone(folded, tokens, hits)
        if not any(hits):
            return
        self._strangers(folded, tokens, hits, own)
        self._joined(folded, tokens, hits)
        start = None
        for number, token in enumerate(tokens):
            if not hits[number]:
                continue
            if start is None:
                start = token.start
            after = tokens[number + 1] if number + 1 < len(tokens) and hits[number + 1] else None
            if after is None or not between(folded[token.end : after.start]):
                yield Span(start, token.end, "name")
                start = None

    def _known(self, folded: str, tokens: list[Token], known: Identifiers) -> list[bool]:
        """The instance's own names, in any case. Those that are terms of the standard as well need a sign."""
        if not known.words:
            return [False] * len(tokens)
        mine = [self._is_known(token, known) for token in tokens]
        if not any(mine):
            return mine
        hits = [is_mine and token.word.upper() not in known.terms for is_mine, token in zip(mine, tokens, strict=True)]
        for number, token in enumerate(tokens):
            if not mine[number] or hits[number]:
                continue
            before = tokens[number - 1] if number else None
            near = (before is not None and mine[number - 1] and close(folded[before.end : token.start])) or (
                number + 1 < len(tokens) and mine[number + 1] and close(folded[token.end : tokens[number + 1].start])
            )
            titled = before is not None and (before.word in self._words.titles or before.word in self._words.labels)
            # "Head routine" and "left hand" are no names of a patient called so; "left kidney Hand" may be one.
            written = (
                token.shape in ("title", "upper") and number > 0 and not folded[: token.start].rstrip().endswith(".")
            )
            hits[number] = near or titled or written
        return hits

    def _is_known(self, token: Token, known: Identifiers) -> bool:
        word = token.word
        if word in known.words:
            return len(word) > 2 or (len(word) > 1 and (token.shape in _CAPITALS or not word.isascii()))
        if len(word) <= _MIN_COMPOUND or self._words.is_word(word):
            return False
        return any(
            len(name) >= _MIN_COMPOUND and (word.startswith(name) or word.endswith(name)) for name in known.words
        )

    def _beside_titles(self, folded: str, tokens: list[Token], hits: list[bool], *, shouted: bool) -> None:
        """What follows ``Dr.``, ``Frau`` or ``Patient:``."""
        number = 0
        while number < len(tokens) - 1:
            token, after = tokens[number], tokens[number + 1]
            gap = folded[token.end : after.start]
            if self._may_be_a_title(token, after, gap) and AFTER_TITLE.fullmatch(gap) and not hits[number]:
                first = number + 1
                while first < min(len(tokens) - 1, number + _MOST_IN_A_NAME) and (
                    tokens[first].word in self._words.titles or tokens[first].word in _AND_TITLES
                ):
                    first += 1
                if self._is_title(token, tokens[first], folded, shouted=shouted):
                    self._take(folded, tokens, hits, first, sure=True, shouted=shouted)
            elif token.word in self._words.labels:
                if COLON.fullmatch(gap):
                    self._take(folded, tokens, hits, number + 1, sure=self._may_be_a_name(after), shouted=shouted)
                elif NEAR.fullmatch(gap) and gap and not shouted and self._looks_like_a_name(tokens, number + 1):
                    self._take(folded, tokens, hits, number + 1, sure=True, shouted=shouted)
            number += 1

    def _may_be_a_title(self, token: Token, after: Token, gap: str) -> bool:
        if token.word == "m":  # Monsieur
            return token.shape == "initial" and gap == ". " and after.shape in {"title", "lower"}
        return token.word in self._words.titles

    def _is_title(self, token: Token, after: Token, folded: str, *, shouted: bool) -> bool:
        """``DR`` and ``MR`` are modalities as well, and small letters may start any word."""
        if token.word in _ALSO_MODALITIES and (shouted or token.shape != "title"):
            dotted = folded[token.end : token.end + 1] == "." and token.shape != "upper"
            strange = len(after.word) > _MIN_ALONE - 1 and not self._words.is_word(after.word)
            return dotted or strange or (len(after.word) > 1 and self._words.is_only_a_name(after.word))
        if after.shape == "lower" and after.word not in self._words.particles and len(after.word) > 1:
            return self._words.is_name(after.word) or not self._words.is_word(after.word)
        return True

    def _may_be_a_name(self, token: Token) -> bool:
        if token.word in self._words.titles:
            return False
        return token.shape in _CAPITALS and (self._words.is_name(token.word) or not self._words.is_word(token.word))

    def _looks_like_a_name(self, tokens: list[Token], number: int) -> bool:
        """After a label without a colon: a capital, and a name that is no term, or a name before a name."""
        token = tokens[number]
        if token.word in self._words.titles:
            return False
        if token.shape not in _CAPITALS:
            return (
                token.word in self._words.particles
                and number + 1 < len(tokens)
                and self._looks_like_a_name(tokens, number + 1)
            )
        if token.shape == "initial":
            return number + 1 < len(tokens) and tokens[number + 1].shape == "title"
        word = token.word
        if word in self._words.eponyms:
            following = tokens[number + 1] if number + 1 < len(tokens) else None
            return following is None or following.word not in self._words.nouns
        if self._words.is_name(word):
            return word not in self._words.technical
        return not self._words.is_word(word) and token.shape == "title"

    def _take(
        self, folded: str, tokens: list[Token], hits: list[bool], first: int, *, sure: bool, shouted: bool
    ) -> None:
        """Mark a name from a word on: the first for sure, more while they look like parts of it."""
        if not sure:
            return
        given = False
        joining: list[int] = []  # particles, which belong to the name if more of it follows
        for number in range(first, min(first + _MOST_IN_A_NAME, len(tokens))):
            token = tokens[number]
            if number > first:
                gap = folded[tokens[number - 1].end : token.start]
                if not (
                    NEAR.fullmatch(gap) or CARET.fullmatch(gap) or (given_after_comma(gap) and self._is_given(token))
                ):
                    return
                if ends_sentence(gap, tokens[number - 1]):
                    return
            joins = token.word in self._words.particles and token.shape in ("lower", "title")
            apostrophe = len(token.word) == 1 and folded[token.end : token.end + 1] == "'"
            if (joins or apostrophe) and number + 1 < len(tokens):
                joining.append(number)
                continue
            if token.shape == "initial":
                hits[number] = True
                continue
            if number > first and (token.shape == "lower" or not self._continues(token, given=given, shouted=shouted)):
                return
            for part in (*joining, number):
                hits[part] = True
            joining.clear()
            given = given or token.word in self._words.given
            follows = tokens[number + 1] if number + 1 < len(tokens) else token
            more = follows.shape == "title" and self._is_strange(follows) and self._is_strange(token)
            if not (more or token.word in self._words.given or folded[token.end : token.end + 1] in _JOINS):
                return

    def _is_stranger(self, token: Token) -> bool:
        return token.shape == "title" and len(token.word) > _MIN_ALONE and self._is_strange(token)

    def _stands_alone(self, folded: str, tokens: list[Token], number: int) -> bool:
        """A capital in the middle of English prose, of a word that is none: ``requested for Xyzworth again``.

        Before a word of medicine it is an eponym that no list has. Other languages write more than names so.
        """
        before, token = tokens[number - 1], tokens[number]
        if not number or before.shape != "lower" or len(before.word) < _MIN_PROSE or not self._is_stranger(token):
            return False
        if before.word not in self._words.english or folded[before.end : token.start] != " ":
            return False
        after = tokens[number + 1] if number + 1 < len(tokens) else None
        return after is None or not (after.word in self._words.nouns or after.word in self._words.trade)

    def _is_acronym(self, token: Token) -> bool:
        return token.shape == "upper" and len(token.word) < _MIN_ALONE and not self._words.is_name(token.word)

    def _is_strange(self, token: Token) -> bool:
        """No word of any kind; it may be a name."""
        word = token.word
        return len(word) > 2 and not (
            self._words.is_word(word) or word in self._words.titles or word in self._words.labels
        )

    def _continues(self, token: Token, *, given: bool, shouted: bool) -> bool:
        word = token.word
        if self._words.is_only_a_name(word) or not self._words.is_word(word):
            return True
        if shouted and word in self._words.technical:
            return False
        return given and (self._words.is_name(word) or word in self._words.eponyms)

    def _is_given(self, token: Token) -> bool:
        return token.shape in _CAPITALS and token.word in self._words.given

    def _pairs(self, folded: str, tokens: list[Token], hits: list[bool], *, shouted: bool) -> None:
        """A given and a family name beside each other, in either order."""
        for number in range(len(tokens) - 1):
            one, two = tokens[number], tokens[number + 1]
            if one.shape == two.shape == "lower" and folded[one.end : two.start] == " ":
                both = self._words.is_only_a_name(one.word) and one.word in self._words.given
                if both and len(one.word) >= _MIN_ALONE and self._is_strange(two) and len(two.word) >= _MIN_ALONE:
                    hits[number] = hits[number + 1] = True
                continue
            if one.shape == "lower" or two.shape == "lower" or {one.word, two.word} & self._words.titles:
                continue
            gap = folded[one.end : two.start]
            if gap == "^" and len(one.word) > 1 and not (self._is_term(one) and self._is_term(two)):
                hits[number] = hits[number + 1] = True
                continue
            following = tokens[number + 2].word if number + 2 < len(tokens) else ""
            if NEAR.fullmatch(gap) and gap.strip() != ".":
                pair = self._given_family(one, two, shouted=shouted) and not (
                    two.word in self._words.eponyms and following in self._words.nouns
                )
            elif COMMA.fullmatch(gap):
                strange = self._is_strange(one) and self._is_strange(two) and not self._is_acronym(one)
                pair = two.shape == one.shape and (strange or self._given_family(two, one, shouted=shouted))
            elif one.shape == "initial" and gap.strip() == ".":
                name = two.shape != "initial" and self._words.is_only_a_name(two.word)
                apart = one.start == 0 or folded[one.start - 1] in " (,;/"  # no letter of a number
                pair = name or (apart and one.word not in _ANATOMY and self._is_stranger(two))
            else:
                pair = False
            if pair:
                hits[number] = hits[number + 1] = True

    def _given_family(self, given: Token, family: Token, *, shouted: bool) -> bool:
        words = self._words
        if given.word not in words.given or len(given.word) < 3 or len(family.word) < 2 or family.shape == "initial":
            return False
        if words.is_only_a_name(given.word):
            if words.is_word(family.word):
                is_family = words.is_name(family.word) or family.word in words.eponyms
                return is_family and (family.word not in words.technical) and family.word not in words.nouns
            return True
        if given.word in words.eponyms and given.word not in words.english:
            return not shouted and (
                words.is_only_a_name(family.word) or (words.is_name(family.word) and family.word in words.surnames)
            )
        # Both are words as well: "Grace Young", but not "Long Hand" or "Gray White".
        ordinary = given.word in words.english and given.word not in words.technical
        return (
            ordinary
            and not shouted
            and (
                words.is_only_a_name(family.word)
                or (family.word in words.family and family.word in words.english and family.word not in words.technical)
            )
        )

    def _is_term(self, token: Token) -> bool:
        return token.word in self._words.technical and not self._words.is_name(token.word)

    def _alone(self, folded: str, tokens: list[Token], hits: list[bool]) -> None:
        words = self._words
        for number, token in enumerate(tokens):
            if hits[number] or token.shape not in ("title", "upper") or len(token.word) < _MIN_ALONE:
                continue
            if token.word in words.titles or token.word in words.labels or token.word in words.particles:
                continue
            if words.is_only_a_name(token.word) or self._stands_alone(folded, tokens, number):
                hits[number] = True
            elif token.word in words.surnames and words.is_name(token.word) and token.word not in words.english:
                beside = [other.word for other in tokens[max(0, number - 2) : number + 4]]
                hits[number] = not any(
                    other in words.nouns or other in words.technical or (other in words.eponyms and other != token.word)
                    for other in beside
                )

    def _before_particles(self, tokens: list[Token], hits: list[bool], number: int) -> bool:
        """Whether a name stands before a word, with nothing but particles between."""
        first = max(0, number - _MOST_IN_A_NAME)
        for earlier in range(number - 1, first - 1, -1):
            if hits[earlier] or tokens[earlier].word not in self._words.particles:
                return hits[earlier]
        return False

    def _strangers(self, folded: str, tokens: list[Token], hits: list[bool], own: tuple[bool, ...]) -> None:
        """A word that is no word, with a capital, beside a name: the other part of it. ``own``: the instance's own."""
        for one, two in pairwise(range(len(tokens))):
            if hits[one] == hits[two]:
                continue
            gap = folded[tokens[one].end : tokens[two].start]
            other = two if hits[one] else one
            if other == two and own[one] and NEAR.fullmatch(gap) and not gap.startswith("."):
                self._behind_particles(folded, tokens, hits, two)
            if tokens[one].shape != tokens[two].shape or tokens[other].shape not in {"title", "upper"}:
                continue
            beside = (NEAR.fullmatch(gap) or COMMA.fullmatch(gap)) and not gap.startswith(".")
            # In capitals everything is written alike: there a given name or the instance's own must stand beside it, or
            # a comma between, which acronyms have too.
            shouted = tokens[other].shape == "upper"
            alike = shouted and gap == " "
            if self._is_acronym(tokens[other]) and COMMA.fullmatch(gap):
                continue
            given = own[one if hits[one] else two] or tokens[one if hits[one] else two].word in self._words.given
            if gap == "-" or (beside and self._is_strange(tokens[other]) and (given or not alike)):
                hits[other] = True

    def _behind_particles(self, folded: str, tokens: list[Token], hits: list[bool], first: int) -> None:
        """``Al-Nahyani`` behind the instance's own given name: particles, and a word that is no word."""
        number = first
        while number < min(len(tokens), first + _MOST_IN_A_NAME) and tokens[number].word in self._words.particles:
            number += 1
            if number < len(tokens) and not between(folded[tokens[number - 1].end : tokens[number].start]):
                return
        if first < number < len(tokens) and tokens[number].shape != "lower" and self._is_strange(tokens[number]):
            hits[first : number + 1] = [True] * (number + 1 - first)

    def _joined(self, folded: str, tokens: list[Token], hits: list[bool]) -> None:
        """Initials, particles and the genitive's s that belong to a name beside them."""
        for number in range(len(tokens) - 2, -1, -1):
            token = tokens[number]
            if hits[number] or not hits[number + 1]:
                continue
            gap = folded[token.end : tokens[number + 1].start]
            if not between(gap):
                continue
            before = number > 0 and self._before_particles(tokens, hits, number)
            if len(token.word) == 1:
                hits[number] = gap == "'" or before or (token.shape == "initial" and gap.startswith("."))
            elif token.word in self._words.particles:
                hits[number] = before or token.word in _NOBLE or gap == "-"
        for number in range(1, len(tokens)):
            token = tokens[number]
            if hits[number] or not hits[number - 1]:
                continue
            gap = folded[tokens[number - 1].end : token.start]
            dotted = folded[token.end : token.end + 1] == "." or folded[token.start - 1] == "^"
            if (gap == "'" and token.word == "s") or (
                token.shape == "initial" and (dotted or gap == "^") and between(gap)
            ):
                hits[number] = True
