"""De-identification benchmark: invented patients and staff, the same for the same seed."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

if TYPE_CHECKING:
    from collections.abc import Callable


def dice(*parts: object) -> random.Random:
    """A generator of its own for every question, so that adding one attribute does not change the others."""
    seed = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return random.Random(seed)


@dataclass(frozen=True, slots=True)
class Patient:
    """One invented patient.

    Attributes:
        number: Their number in the corpus.
        charset: Specific Character Set of their objects; empty for the default repertoire.
        family: Family name in Latin letters.
        given: Given name in Latin letters.
        name: Patient's Name as in the file, with all component groups.
        former_name: Birth name, in the same form.
        mother: Mother's birth name.
        script: The name's components in the character set itself.
        common_words: The names are words that occur in medicine and in DICOM too.
    """

    number: int
    charset: tuple[str, ...]
    family: str
    given: str
    name: str
    former_name: str
    mother: str
    script: tuple[str, ...]
    common_words: bool
    id: str
    issuer: str
    other_id: str
    birth_date: date
    sex: str
    phone: str
    email: str
    address: str


def patient(seed: int, number: int, words: dict[str, Any]) -> Patient:
    """The patient of a number."""
    roll = dice(seed, "patient", number)
    group = words["people"][number % len(words["people"])]
    pick = (number // len(words["people"])) % len(group["families"])
    family, given = group["families"][pick], roll.choice(group["givens"])
    latin_family = group.get("latin_families", group["families"])[pick]
    latin_given = group.get("latin_givens", group["givens"])[group["givens"].index(given)]
    name = f"{family}^{given}^{roll.choice(['', 'Q'])}".rstrip("^")
    former = f"{roll.choice(words['staff']['families'])}-Alt^{latin_given}"
    if group.get("ideographic"):
        name = f"{latin_family}^{latin_given}={family}^{given}"
    # One patient in nine has a number so short that it is also an instance number: what may be kept must still be kept.
    digits = roll.randrange(10**5, 10**6)
    forms = [f"MRN-{digits}", f"0{digits}88", f"HB.{digits}.K", f"{roll.choice('QXZ')}{digits}7"]
    local = words.get("forms", {})
    forms = [drawn(form, roll) for form in local.get("id", [])] or forms
    number_form = str(10 + number) if number % 9 == 7 else roll.choice(forms)
    town, street = roll.choice(words["places"]["town"]), roll.choice(words["places"]["street"])
    return Patient(
        number=number,
        charset=tuple(group["charset"]),
        family=latin_family,
        given=latin_given,
        name=name,
        former_name=former,
        mother=f"{roll.choice(words['staff']['families'])}-Mutter^{latin_given}",
        script=(family, given),
        common_words=group.get("common_words", False),
        id=number_form,
        # Half of the hospitals name no issuer.
        issuer=roll.choice(words["places"]["issuer"]) if number % 2 else "",
        other_id=f"OLD{roll.randrange(10**6, 10**7)}",
        birth_date=date(1926, 1, 1) + timedelta(days=roll.randrange(0, 92 * 365)),
        sex=roll.choice("MF"),
        phone=_form(local, "phone", roll, lambda: f"+49 {roll.randrange(200, 999)} {roll.randrange(10**6, 10**7)}"),
        email=_form(
            local,
            "email",
            roll,
            lambda: f"mail{roll.randrange(10**4, 10**5)}@{roll.choice(['postkasten', 'lettrebox'])}.example",
            word=_plain(latin_given),
            digits=number + 31,
        ),
        address=_form(
            local,
            "address",
            roll,
            lambda: f"{roll.randrange(2, 250)} {street}, {roll.randrange(10000, 99999)} {town}",
            number=number + 3,
            street=street,
            town=town,
        ),
    )


def _plain(word: str) -> str:
    """As it stands in a mail address: ASCII letters, small."""
    return "".join(sign for sign in normalize("NFKD", word).casefold() if sign.isascii() and sign.isalpha())


def drawn(form: str, roll: random.Random) -> str:
    """A form with a digit in the place of each ``#``."""
    return "".join(str(roll.randrange(1, 10)) if sign == "#" else sign for sign in form)


def _form(local: dict[str, Any], name: str, roll: random.Random, usual: Callable[[], str], **fields: object) -> str:
    """One of the vocabulary's own forms, or the usual one."""
    return drawn(roll.choice(local[name]), roll).format(**fields) if name in local else usual()


def staff(words: dict[str, Any], *scope: object) -> tuple[str, str]:
    """Family and given name of the person who has a role, e.g. the referring physician of one study."""
    roll = dice(*scope)
    return roll.choice(words["staff"]["families"]), roll.choice(words["staff"]["givens"])
