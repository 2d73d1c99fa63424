"""The free text benchmark: its key is right, and the cleaner keeps to what is promised on it."""

from __future__ import annotations

from pydicom.dataset import Dataset

from benchmarks.free_text_set.sentences import sentences
from gateway.deid.free_text import FreeText
from gateway.deid.identifiers import Identifiers
from gateway.deid.tables import load_tables


def test_the_same_seed_gives_the_same_sentences_and_answers_lie_in_them():
    texts = list(sentences(200, seed=3))
    assert texts == list(sentences(200, seed=3))
    assert len({text.language for text in texts}) == 6
    for text in texts:
        assert all(0 <= answer.start < answer.end <= len(text.text) for answer in text.answers)
        assert all(one.end <= two.start for one, two in zip(text.answers, text.answers[1:], strict=False))
        for answer in text.answers:
            if answer.kind == "id":
                said = text.text[answer.start : answer.end]
                assert said in (text.header["PatientID"], text.header["AccessionNumber"])


def test_identifiers_of_the_header_are_found_and_terms_stay():
    cleaner, tables = FreeText(), load_tables()
    found = asked = kept = terms = 0
    for text in sentences(400, seed=11):
        if text.hard:
            continue
        header = Dataset()
        header.SpecificCharacterSet = "ISO_IR 192"
        header.PatientName, header.PatientID = text.header["PatientName"], text.header["PatientID"]
        header.AccessionNumber = text.header["AccessionNumber"]
        header.ReferringPhysicianName = text.header["ReferringPhysicianName"]
        gone = {
            place
            for span in cleaner.find(text.text, Identifiers.of(header, tables))
            for place in range(span.start, span.end)
        }
        for answer in text.answers:
            if answer.in_header:
                asked += 1
                found += all(at in gone for at in range(answer.start, answer.end) if text.text[at].isalnum())
        if text.kept is not None:
            terms += 1
            kept += gone.isdisjoint(range(*text.kept))
    assert asked > 250
    assert terms > 300
    assert found / asked >= 0.99
    assert kept / terms >= 0.99
