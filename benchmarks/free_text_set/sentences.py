"""Free text benchmark: the sentences. Each comes with the header of its instance and with what in it identifies."""

from __future__ import annotations

import random
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARES = {"en": 0.5, "de": 0.16, "fr": 0.1, "es": 0.1, "it": 0.07, "ja": 0.07}
_WORDS = Path(__file__).parent / "words.toml"
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What identifies.

    Attributes:
        start: First place in the text.
        end: Place after the last.
        kind: name, id, date, phone, address, email, url, age.
        in_header: Whether an identifying attribute of the same instance holds it.
        invented: name: whether it is put together from syllables, so that no list has it.
    """

    start: int
    end: int
    kind: str
    in_header: bool
    invented: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who does not exist."""

    family: str
    given: str
    invented: bool


@dataclass(frozen=True, slots=True)
class Sentence:
    """One text and its key.

    Attributes:
        text: As a person wrote it.
        language: Of the text.
        answers: What identifies, in order.
        kept: Places of the medical term that must stay.
        header: Keyword to value, for the identifying attributes of the instance.
        hard: ``name`` or ``word`` for the cases of names that are words as well.
    """

    text: str
    language: str
    answers: tuple[Answer, ...]
    kept: tuple[int, int] | None
    header: dict[str, str] = field(repr=False)
    hard: str = ""


def sentences(count: int, seed: int) -> Iterator[Sentence]:
    """As many sentences, in six languages, and after them the hard cases."""
    words = tomllib.loads(_WORDS.read_text(encoding="utf-8"))
    roll = random.Random(seed)
    for language, share in SHARES.items():
        for _ in range(round(count * share)):
            yield _Writer(language, words[language], roll).write()
    yield from _hard(words, roll)


class _Writer:
    """Writes one sentence about one patient."""

    def __init__(self, language: str, words: dict[str, Any], roll: random.Random) -> None:
        self._language, self._words, self._roll = language, words, roll
        self._patient, self._staff, self._other = (_person(words, roll) for _ in range(3))
        self._year = roll.randrange(2005, 2025)
        self._id = roll.choice(["{7}", "MRN{6}", "H-{6}", "{2}.{3}.{3}", "{1}{5}K"])
        self._id = _digits(self._id, roll)
        self._accession = _digits(roll.choice(["A{8}", "CR-{4}-{5}", "{9}"]), roll)
        self._phone = _digits(roll.choice(words["phones"]), roll)
        self._address = _digits(roll.choice(words["streets"]).replace("{n}", str(roll.randrange(1, 180))), roll)
        self._parts: list[str] = []
        self._length = 0
        self._answers: list[Answer] = []
        self._kept: tuple[int, int] | None = None

    def write(self, template: str | None = None, patient: Person | None = None, hard: str = "") -> Sentence:
        self._patient = patient or self._patient
        template = template or self._roll.choice(self._words["sentences"])
        at = 0
        for slot in _SLOT.finditer(template):
            self._plain(template[at : slot.start()])
            self._fill(slot[1])
            at = slot.end()
        self._plain(template[at:])
        group = f"{self._patient.family}^{self._patient.given}"
        header = {
            "PatientName": f"Sato^Taro={group}" if self._language == "ja" else group,
            "PatientID": self._id,
            "AccessionNumber": self._accession,
            "PatientTelephoneNumbers": self._phone,
            "PatientAddress": self._address,
            "ReferringPhysicianName": f"{self._staff.family}^{self._staff.given}",
        }
        return Sentence("".join(self._parts), self._language, tuple(self._answers), self._kept, header, hard)

    def _plain(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def _answer(self, text: str, kind: str, *, in_header: bool, invented: bool = False) -> None:
        self._answers.append(Answer(self._length, self._length + len(text), kind, in_header, invented))
        self._plain(text)

    def _name(self, text: str, person: Person, *, in_header: bool = True) -> None:
        self._answer(text, "name", in_header=in_header, invented=person.invented)

    def _titled(self, person: Person, *, in_header: bool) -> None:
        before, after = self._roll.choice(self._words["titles"]).split("{p}")
        self._plain(before)
        self._name(self._roll.choice([person.family, person.family, self._full(person)]), person, in_header=in_header)
        self._plain(after)

    def _full(self, person: Person) -> str:
        between = "" if self._language == "ja" else " "
        order = (person.family, person.given) if self._language == "ja" else (person.given, person.family)
        return between.join(order)

    def _fill(self, slot: str) -> None:
        roll, words, patient = self._roll, self._words, self._patient
        match slot:
            case "title":
                self._titled(patient, in_header=True)
            case "staff":
                self._titled(self._staff, in_header=True)
            case "other":
                self._titled(self._other, in_header=False)
            case "full":
                self._name(self._full(patient), patient)
            case "other_full":
                self._name(self._full(self._other), self._other, in_header=False)
            case "upper":
                self._name(self._full(patient).upper(), patient)
            case "lower":
                self._name(self._full(patient).lower(), patient)
            case "last_upper":
                self._name(patient.family.upper(), patient)
            case "reversed":
                self._name(f"{patient.family}^{patient.given}".upper(), patient)
            case "initial":
                self._name(patient.given[0], patient)
            case "family" | "given":
                self._name(getattr(patient, slot), patient)
            case "date":
                self._answer(self._date(), "date", in_header=False)
            case "moment":
                self._answer(
                    f"{self._date()} {roll.randrange(7, 20):02}:{roll.randrange(60):02}", "date", in_header=False
                )
            case "url":
                self._answer(f"https://pacs.winterfold.example/view/{self._id}", "url", in_header=False)
            case "id":
                self._answer(self._id, "id", in_header=True)
            case "acc":
                self._answer(self._accession, "id", in_header=True)
            case "phone":
                self._answer(self._phone, "phone", in_header=True)
            case "address":
                self._answer(self._address, "address", in_header=True)
            case "mail":
                self._answer(f"box{roll.randrange(10**4)}@winterfold.example", "email", in_header=False)
            case "age":
                self._answer(
                    roll.choice(words["ages"]).replace("{old}", str(roll.randrange(90, 105))), "age", in_header=False
                )
            case "size":
                self._plain(str(roll.randrange(2, 40)))
            case _:
                self._term(slot)

    def _term(self, slot: str) -> None:
        term = self._roll.choice(self._words["caps" if slot == "caps_term" else "terms"])
        self._kept = (self._length, self._length + len(term))
        self._plain(term[0].upper() + term[1:] if slot == "term_s" else term)

    def _date(self) -> str:
        roll = self._roll
        month, day = roll.randrange(1, 13), roll.randrange(1, 29)
        form = roll.choice(self._words["dates"])
        return str(
            form.format(
                d=f"{day:02}", dd=day, m=f"{month:02}", y=self._year, yy=f"{self._year % 100:02}",
                month=self._words["months"][month - 1], era=self._year - 2004,
            )
        )  # fmt: skip


def _person(words: dict[str, Any], roll: random.Random) -> Person:
    given = roll.choice(words["given"])
    if roll.random() < 0.5:
        return Person(roll.choice(words["family"]), given, invented=False)
    return Person(roll.choice(words["starts"]) + roll.choice(words["ends"]), given, invented=True)


def _digits(form: str, roll: random.Random) -> str:
    return re.sub(r"\{(\d)\}", lambda match: str(roll.randrange(10 ** (int(match[1]) - 1), 10 ** int(match[1]))), form)


def _hard(words: dict[str, Any], roll: random.Random) -> Iterator[Sentence]:
    """Names that are words: as names, and as words in the texts of a patient with and without that name."""
    english, common = words["en"], words["common"]
    for name in common["names"]:
        for template in common["about"]:
            person = Person(name, roll.choice(english["given"]), invented=False)
            yield _Writer("en", english, roll).write(template, person, "name")
    for name, text in common["uses"]:
        at = text.casefold().index(name.casefold())
        for mine in (True, False):
            person = Person(name, "Imogen", invented=False) if mine else None
            plain = _Writer("en", english, roll).write("", person)
            yield Sentence(text, "en", (), (at, at + len(name)), plain.header, "own word" if mine else "word")
