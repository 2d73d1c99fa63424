"""A planted identifier of the instance never survives, in any casing, format and spelling that is known."""

from __future__ import annotations

import re
import string
from datetime import date
from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from gateway.deid.free_text import FreeText
from gateway.deid.identifiers import Identifiers
from gateway.deid.tables import load_tables
from gateway.deid.vocabulary import fold, load_vocabulary, spelled

TABLES = load_tables()
TEXT = FreeText()
WORDS = load_vocabulary()
LATIN = string.ascii_lowercase + "äöüßéèêëáàâãåíìîïóòôõøúùûñçæœłśźżčšžřőűğış"
BEFORE = [
    "",
    "CT thorax ",
    "known Parkinson disease, ",
    "seen: ",
    "T2 sag (",
    "MRT ",
    "7 mm; ",
    "par ",
    "x\n",
    "L-",
    "患者 ",
]
AFTER = ["", " knee", ") follow-up", ", 2 mm", "; Cushing", ".", "\n", " disease", "'s scan", " 様"]

names = st.text(LATIN, min_size=3, max_size=12).filter(lambda name: len(fold(name)) >= 3)
surroundings = st.tuples(st.sampled_from(BEFORE), st.sampled_from(AFTER))


def known(**attributes: str) -> Identifiers:
    source = Dataset()
    source.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in attributes.items():
        setattr(source, keyword, value)
    return Identifiers.of(source, TABLES)


def is_plain_name(name: str) -> bool:
    """No term of the standard, which needs a sign that it is a name, and nothing that stands beside names."""
    words = (fold(name), spelled(name))
    return not any(
        word.upper() in TABLES.terms or word in WORDS.particles or word in WORDS.titles or not word.isalpha()
        for word in words
    )


FORMS = [
    str.lower,
    str.upper,
    str.title,
    str.swapcase,
    fold,
    spelled,
    lambda name: fold(name).upper(),
    lambda name: spelled(name).title(),
    lambda name: "".join(chr(ord(letter) + 0xFEE0) if letter in string.ascii_letters else letter for letter in name),
]
ORDERS = ["{f}", "{g}", "{g} {f}", "{f}, {g}", "{f}^{g}", "{f}_{g}", "{f}-{g}", "Dr. {f}", "{g}.{f}", "{f}{g}"]


@settings(max_examples=400, deadline=None)
@given(family=names, given_name=names, form=st.sampled_from(FORMS), order=st.sampled_from(ORDERS), around=surroundings)
def test_a_name_never_survives(family, given_name, form, order, around):
    assume(is_plain_name(family) and is_plain_name(given_name))
    written = order.format(f=form(family), g=form(given_name))
    if order == "{f}{g}":
        assume(len(family) >= 5 and not WORDS.is_word(fold(written)))
    text = around[0] + written + around[1]
    cleaned = fold(TEXT.clean(text, known(PatientName=f"{family}^{given_name}")).text.replace("[removed]", " "))
    left = set(re.findall(r"[^\W\d_]+", cleaned))
    assert not left & {fold(family), spelled(family), fold(given_name), spelled(given_name)} - set(
        re.findall(r"[^\W\d_]+", fold(around[0] + " " + around[1]))
    )


@settings(max_examples=300, deadline=None)
@given(
    number=st.from_regex(r"[A-Z]{0,3}[0-9]{5,10}[A-Z]?", fullmatch=True),
    separator=st.sampled_from(["", " ", "-", ".", "/", "_"]),
    every=st.integers(2, 5),
    case=st.sampled_from([str.lower, str.upper]),
    around=surroundings,
)
def test_a_number_never_survives(number, separator, every, case, around):
    pieces = [number[at : at + every] for at in range(0, len(number), every)]
    text = around[0] + case(separator.join(pieces)) + around[1]
    cleaned = TEXT.clean(text, known(PatientID=number)).text
    bare = "".join(letter for letter in cleaned.casefold() if letter.isalnum())
    assert number.casefold() not in bare


@settings(max_examples=200, deadline=None)
@given(
    day=st.dates(date(1880, 1, 1), date(2120, 1, 1)),
    form=st.sampled_from(
        ["%d.%m.%Y", "%Y-%m-%d", "%m/%d/%Y", "%d %B %Y", "%B %d, %Y", "%Y%m%d", "%d-%m-%Y", "%d. %b %Y"]
    ),
    around=surroundings,
)
def test_a_date_of_birth_never_survives(day, form, around):
    cleaned = TEXT.clean(
        f"{around[0]}{day.strftime(form)}{around[1]}", known(PatientBirthDate=day.strftime("%Y%m%d"))
    ).text
    assert str(day.year) not in cleaned


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_is_cleaned_twice_as_once_and_stays_in_order(text):
    identifiers = known(PatientName="Ostrander^Leonora", PatientID="HB123456")
    spans = TEXT.find(text, identifiers)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(one.end <= two.start for one, two in pairwise(spans))
    once = TEXT.clean(text, identifiers).text
    assert TEXT.clean(once, identifiers).text.count("[removed]") >= once.count("[removed]")
