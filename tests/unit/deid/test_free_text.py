"""Free text: what identifies goes, what is medical stays."""

from __future__ import annotations

import gc
import time

import pytest
from pydicom.dataset import Dataset

from gateway.deid.free_text import REMOVED, FreeText
from gateway.deid.identifiers import Identifiers
from gateway.deid.tables import load_tables

TABLES = load_tables()
TEXT = FreeText()
NOBODY = Identifiers()


def known(**attributes: str) -> Identifiers:
    source = Dataset()
    source.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in attributes.items():
        setattr(source, keyword, value)
    return Identifiers.of(source, TABLES)


def clean(text: str, identifiers: Identifiers = NOBODY) -> str:
    return TEXT.clean(text, identifiers).text.replace(REMOVED, "_")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("seen by Dr. Vasquenza", "seen by Dr. _"),
        ("Mr/Ms Szymborska, referred by Grimsditch", "Mr/Ms _, referred by _"),
        ("Frau Dr. med. Annegret Müller-Lüdenscheid, Befund folgt", "Frau Dr. med. _, Befund folgt"),
        ("M. Dupont adressé par le Dr Lefèvre", "_ adressé par le Dr _"),
        ("Sra. García López, remitida por Dr. Hernández", "Sra. _, remitida por Dr. _"),
        ("Inviato da Dott. Moncchini", "Inviato da Dott. _"),
        ("Patient: Young, Grace", "Patient: _"),
        ("Name: Jan van der Berg", "Name: _"),
        ("John Smith has a Smith fracture", "_ has a Smith fracture"),
        ("SCHNEIDER KNEE", "_ KNEE"),
        ("fell, address 87 Lindenstrasse, 17752 Neustadt", "fell, address _"),
        ("wohnt 12a Hauptstraße, Ulm, keine Schmerzen", "wohnt _, keine Schmerzen"),
        ("lives 12 Oak Street, Boston, MA 02115, no pain", "lives _, no pain"),
        ("12 Oak Street, Boston, no pain", "_, no pain"),
        ("OSTRANDER^LEONORA^Q", "_"),
        ("田中先生より紹介", "_先生より紹介"),
        ("desmond whitaker, chest", "_, chest"),
    ],
)
def test_names_beside_titles_and_labels_go_though_nobody_named_them(text, cleaned):
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "Parkinson disease, Cushing syndrome, Crohn, Hodgkin staging, Alzheimer, Bell palsy, Down syndrome",
        "Graves orbitopathy, Paget disease, Ewing sarcoma, Wegener, Barrett, Meckel, Chiari, Moyamoya, Schmorl",
        "Baker cyst, Hill-Sachs, Colles fracture, Fowler, Towne view, Waters view, Stenvers, Judet",
        "Wilson disease and Kirschner wire, Doppler, Virchow node, no Murphy sign, circle of Willis",
        "MR BRAIN, DR CHEST PA, MS follow-up, HEAD, SELLA, T1 MPRAGE sag, AX T2 FLAIR FS",
        "Morbus Scheuermann, Zustand nach Whipple-Operation, kein Anhalt für Lungenarterienembolie",
        "maladie de Crohn, kyste de Baker; quiste de Baker; morbo di Paget",
        "Dotarem 0.5 mmol/ml, Omnipaque 350, Gadovist, iohexol 20 ml",
        "TR 4500 TE 85 ms, b 1000 s/mm2, 512x512x120, 1.5 T, 7 mm, version 2.1.10, 45 years",
        "long axis view, young adult, hand and head, the best series, grade 3",
    ],
)
def test_medical_words_and_measures_stay(text):
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("prior of 05.11.2020", "date"), ("11/05/20", "date"), ("2020-11-05T10:15:30", "date"), ("20201105", "date"),
        ("5. März 2021 um 14:30 Uhr", "date"), ("March 5th, 2021", "date"), ("12 de marzo de 2020", "date"),
        ("le 12 août 2020", "date"), ("am 5.11. erneut", "date"), ("3/2021", "date"), ("Nov 2020", "date"),
        ("2021年3月5日", "date"), ("令和3年4月1日", "date"), ("2021년 3월 5일", "date"), ("5 марта 2021", "date"),
        ("call 555-1234", "phone"), ("(020) 7946 0958", "phone"), ("+49 234 5678901", "phone"),
        ("01 23 45 67 89", "phone"),
        ("mail a.b-c@ward.example", "email"), ("see https://ris.example/p/1?x=2", "url"), ("host 192.168.10.44", "url"),
        ("MRN 12-345", "id"), ("acc. AC1234567", "id"), ("SSN 123-45-6789", "id"), ("HB.123456.K", "id"),
        ("Fall-Nr. 88123", "id"), ("UID 1.2.840.113619.2.55.3.6", "id"), ("NHC 55123", "id"),
        ("a 95-year-old", "age"), ("93-jährige", "age"), ("age: 101", "age"), ("90歳", "age"),
        ("14 Quarry Hill Road", "address"), ("Ahornstraße 5a", "address"), ("12 rue des Tilleuls", "address"),
        ("calle de la Ermita 12", "address"), ("via Garibaldi 3", "address"), ("lives at the old mill", "address"),
    ],
)  # fmt: skip
def test_what_has_the_form_of_an_identifier_goes_and_is_counted_by_kind(text, kind):
    cleaned = TEXT.clean(text, NOBODY)
    assert cleaned.found == {kind: 1}
    assert REMOVED in cleaned.text


@pytest.mark.parametrize("text", ["89-year-old", "a 45 year old", "90 mm", "100 % in 95 cases"])
def test_ages_up_to_89_and_other_numbers_stay(text):
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Liver boost Hand", "Liver boost _"),
        ("CT by Mr Hand", "CT by Mr _"),
        ("patient Percival Hand", "patient _"),
        ("HAND, PERCIVAL: chest", "_: chest"),
        ("Hand routine", "Hand routine"),
        ("fracture of the left hand", "fracture of the left hand"),
    ],
)
def test_a_patient_called_like_a_term_keeps_the_term(text, cleaned):
    assert clean(text, known(PatientName="Hand^Percival")) == cleaned


def test_a_name_that_is_an_eponym_goes_if_it_is_the_patients():
    assert clean("Mr. Wilson has Wilson disease", known(PatientName="Wilson^Ada")) == "Mr. _ has _ disease"


def test_a_descriptor_before_the_name_is_cleaned_with_the_name_known():
    source = Dataset()
    source.StudyDescription = "knee ostrander"
    source.ReferringPhysicianName = "Grimsditch^Ulysses"
    source.PatientName = "Ostrander^Leonora"
    found = Identifiers.of(source, TABLES)
    assert clean("knee ostrander for grimsditch", found) == "knee _ for _"


def test_the_result_fits_the_length_that_its_vr_allows():
    cleaned = TEXT.clean("Knee Ostrander le", known(PatientName="Ostrander^L"), 16)
    assert cleaned.text == "Knee le"
    assert cleaned.found == {"name": 1}


def test_no_value_stands_in_a_repr():
    assert "strander" not in repr(known(PatientName="Ostrander^Leonora", PatientID="AB12345"))


@pytest.mark.parametrize(
    "value",
    ["MAGNETOM Prisma_fit", "syngo MR E11", "GE MEDICAL SYSTEMS", "HeadNeck_20", "*tfl3d1_16ns", "B30f", "FC51",
     "Computed tomography of chest", "Parkinson disease", "PIXIUM 4600 aSi", "cranio-caudal", "C5-1", "4.2.1", ""],
)  # fmt: skip
def test_technical_values_are_technical(value):
    assert TEXT.is_technical(value, NOBODY)


@pytest.mark.parametrize(
    "value",
    ["ZqxjKw", "ZqxjKw00180024", "John Smith", "Dr. Miller 3", "Schneider", "MRN 123456", "12.03.1965", "555-1234",
     "Saltmarsh General Hospital", "seen by Vasquenza", "coil@ward.example", "A1234567"],
)  # fmt: skip
@pytest.mark.parametrize("own", [0, 1])
def test_what_may_be_a_name_or_a_number_of_a_person_is_not_technical(value, own):
    assert not TEXT.is_technical(value, NOBODY, own)


@pytest.mark.parametrize("value", ["Northlight Systems", "Vanta Imaging", "Zenithra 3T"])
def test_a_makers_own_word_passes_beside_known_ones_where_it_may(value):
    assert TEXT.is_technical(value, NOBODY, 1)
    assert not TEXT.is_technical(value, NOBODY, 0)
    assert not TEXT.is_technical(value, known(PatientName=value.split()[0]), 1)


def test_what_is_remembered_as_plain_is_held_against_the_next_patient():
    text = "grace period 1234"
    assert clean(text) == clean(text) == text
    assert clean(text, known(PatientName="Grace^Ada")) == "_ period 1234"
    assert clean(text, known(PatientID="1234")) == "grace period _"
    assert TEXT.is_technical("Rose array 1234", NOBODY)
    assert not TEXT.is_technical("Rose array 1234", known(PatientName="Rose^Ada"))
    assert not TEXT.is_technical("Rose array 1234", known(PatientID="1234"))


@pytest.mark.parametrize(
    "part",
    ["Dr. Ostrander saw Leonora on 05.11.2020; ", "1.", "A ", "a@", "Dr ", "12 ", "on 1 ", "名様", "jan ", "via Ab 1 ",
     "Christian ", "lives at ", "x-", "((", "1-", "call 1 ", "d'"],
)  # fmt: skip
def test_time_is_linear_in_the_text(part):
    identifiers = known(PatientName="Ostrander^Leonora", PatientID="HB.123456.K", PatientAddress="1 Old Mill Lane, Ulm")

    def seconds(size: int) -> float:
        text = part * (size // len(part))
        gc.disable()  # its passes cost what other tests have left in memory
        try:
            started = time.process_time()
            TEXT.clean(text, identifiers)
            return time.process_time() - started
        finally:
            gc.enable()

    seconds(1000)
    # Eight times the text may take eight times the time: a quadratic step would take sixty-four times.
    assert seconds(80_000) < 24 * max(seconds(10_000), 0.01)
