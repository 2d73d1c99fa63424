"""Step 3 of 7: words. Which are names, which are ordinary, medical or technical, and how text is compared.

The lists are data in ``tables/``; each says at its head where it comes from. They are read once in a process.
"""

from __future__ import annotations

import csv
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydicom._dicom_dict import DicomDictionary

FOLDER = Path(__file__).parent / "tables"

_LETTERS = str.maketrans(
    {
        "ß": "ss",
        "ø": "o",
        "ł": "l",
        "æ": "ae",
        "œ": "oe",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "\u0131": "i",
        "\u2019": "'",
        "ς": "\u03c3",  # the same sigma, at the end of a word
        "\0": " ",
    }
)
# The other way in which a letter is written where accents are missing.
_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "đ": "dj", "ł": "l", "ñ": "ny"})


def fold(text: str) -> str:
    """Lower case, without accents, half-width and full-width forms alike, Hiragana as Katakana."""
    if text.isascii():
        return text.lower()
    lowered = unicodedata.normalize("NFKD", text.lower().translate(_LETTERS)).lower()
    return unicodedata.normalize("NFC", "".join(_kana(letter) for letter in lowered if not _is_silent(letter)))


def spelled(text: str) -> str:
    """The same with ``ue`` for ``ü`` and the like: as names are written where the character set has no umlauts."""
    if text.isascii():
        return text.lower()
    return fold(unicodedata.normalize("NFC", text).lower().translate(_SPELLED))


def fold_with_places(text: str) -> tuple[str, list[int] | None]:
    """The folded text, and for each of its characters the place in ``text``; None if they are the same."""
    if text.isascii():
        return text.lower().replace("\0", " "), None
    letters: list[str] = []
    places: list[int] = []
    for place, letter in enumerate(text):
        for folded in _folded_letter(letter):
            letters.append(folded)
            places.append(place)
    places.append(len(text))
    return "".join(letters), places


@lru_cache(maxsize=4096)
def _folded_letter(letter: str) -> str:
    return fold(letter) if letter != "\0" else " "


def _is_silent(letter: str) -> bool:
    """An accent, or a sign that is not seen: a soft hyphen, a joiner, a mark of direction."""
    return unicodedata.combining(letter) > 0 or unicodedata.category(letter) == "Cf"


def _kana(letter: str) -> str:
    return chr(ord(letter) + 0x60) if "ぁ" <= letter <= "ゖ" else letter


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Sets of folded words.

    Attributes:
        english: Ordinary words; some are names as well.
        technical: Words of medicine, of DICOM and of the trade, ordinary words of other languages, and DICOM keywords.
        trade: Those of them that are words of medicine and of the trade alone.
        eponyms: Names that are words of medicine.
        surnames: Eponyms that are common names as well: words of medicine before a ``noun`` only.
        given: Given names.
        family: Family names.
        titles: What follows is a name.
        labels: What follows is a name if a colon follows or if it looks like one.
        suffixes: What stands before is a name.
        particles: What joins the parts of a name.
        nouns: What follows an eponym.
    """

    english: frozenset[str]
    technical: frozenset[str]
    trade: frozenset[str]
    eponyms: frozenset[str]
    surnames: frozenset[str]
    given: frozenset[str]
    family: frozenset[str]
    titles: frozenset[str]
    labels: frozenset[str]
    suffixes: frozenset[str]
    particles: frozenset[str]
    nouns: frozenset[str]

    def is_word(self, word: str) -> bool:
        """An ordinary, medical or technical word (folded); it may be a name as well."""
        return word in self.english or word in self.technical or word in self.eponyms

    def is_name(self, word: str) -> bool:
        """A given or family name (folded); it may be a word as well."""
        return word in self.given or word in self.family

    def announces_a_name(self, word: str) -> bool:
        """A title or a label (folded): what follows may be a name."""
        return word in self.titles or word in self.labels

    def is_only_a_name(self, word: str) -> bool:
        """A name, and no word of any kind."""
        return (word in self.family or word in self.given) and not self.is_word(word)


@lru_cache(maxsize=4)
def load_vocabulary(folder: Path = FOLDER) -> Vocabulary:
    """Read the lists.

    Raises:
        ValueError: Names the file and what is wrong in it.
    """
    contexts = _contexts(folder / "name-contexts.csv")
    trade = words("medical-words.txt", folder) | words("trade-words.txt", folder)
    return Vocabulary(
        english=words("english-words.txt", folder),
        technical=trade.union(
            words("foreign-words.txt", folder),
            contexts["noun"],
            (entry[4].lower() for entry in DicomDictionary.values()),
            (word.lower() for word in words("terms.txt", folder)),
        ),
        trade=trade - contexts["particle"],
        eponyms=words("eponyms.txt", folder),
        surnames=contexts["surname"],
        given=words("names-given.txt", folder),
        family=words("names-family.txt", folder),
        titles=contexts["title"],
        labels=contexts["label"],
        suffixes=contexts["suffix"],
        particles=contexts["particle"],
        nouns=contexts["noun"],
    )


def words(file: str, folder: Path = FOLDER) -> frozenset[str]:
    """The words of one list."""
    lines = (folder / file).read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if line[:1] != "#" for word in line.split())


def _contexts(path: Path) -> dict[str, frozenset[str]]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    found = {row["kind"]: frozenset(map(fold, row["words"].split())) for row in csv.DictReader(lines)}
    wanted = {"title", "label", "suffix", "particle", "noun", "surname"}
    if set(found) != wanted:
        raise ValueError(f"{path.name}: the kinds must be {', '.join(sorted(wanted))}")
    return found
