"""Content items of reports: by the concept that names them (PS3.15 E.3.4)."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import BasicTextSRStorage

from tests.support import deid


def item(kind: str, code: str, scheme: str = "DCM", **values: object) -> Dataset:
    ds = Dataset()
    ds.RelationshipType, ds.ValueType = "CONTAINS", kind
    name = Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = code, scheme, "Concept"
    ds.ConceptNameCodeSequence = Sequence([name])
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def aged(value: str, unit: str) -> Dataset:
    code, measured = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = value, Sequence([code])
    return item("NUM", "121033", MeasuredValueSequence=Sequence([measured]))


def report(*items: Dataset) -> Dataset:
    ds = deid.header()
    ds.SOPClassUID, ds.Modality = BasicTextSRStorage, "SR"
    container = item("CONTAINER", "121070", ContinuityOfContent="SEPARATE", ContentSequence=Sequence(items))
    ds.ContentSequence = Sequence([container])
    return ds


@pytest.fixture
def cleaned(tmp_path):
    """The content items inside the container, after cleaning with options."""

    def clean(*options, source, **fields):
        out = deid.engine_with(tmp_path, *options, **fields).deidentify(deid.image(source), tenant="a").dataset
        container = out.ContentSequence[0]
        return list(container.ContentSequence) if "ContentSequence" in container else []

    return clean


def test_a_text_that_the_table_does_not_know_is_cleaned_with_the_option_and_lost_without(cleaned):
    source = report(item("TEXT", "111023", "99TEST", TextValue="A nodule in the left lung of Mrs Testmann"))
    (kept,) = cleaned("113104", source=source)
    assert "nodule in the left lung" in kept.TextValue
    assert "Testmann" not in kept.TextValue
    (lost,) = cleaned(source=source)
    assert lost.TextValue == "REMOVED"


@pytest.mark.parametrize("options", [(), ("113104",)])
def test_an_item_that_the_table_removes_goes_at_every_depth(cleaned, options):
    number = item("TEXT", "121022", TextValue="ACC55012")  # Accession Number: X
    outer = item("CONTAINER", "121070", ContinuityOfContent="SEPARATE", ContentSequence=Sequence([number]))
    (kept,) = cleaned(*options, source=report(number, outer))
    assert "ContentSequence" not in kept


def test_a_name_is_replaced_and_a_date_goes_the_way_of_the_dates(cleaned):
    source = report(
        item("PNAME", "111024", "99TEST", PersonName="Testmann^Erika"),
        item("DATE", "111025", "99TEST", Date="20240102"),
    )
    name, day = cleaned("113104", source=source)
    assert (name.PersonName, day.Date) == ("REMOVED", "19000101")
    _, kept = cleaned("113104", "113106", source=source)
    assert kept.Date == "20240102"
    _, moved = cleaned("113104", "113107", source=source)
    assert "20200101" < moved.Date < "20240102"


@pytest.mark.parametrize(
    ("value", "unit", "stated"), [("55", "a", 55), ("94", "a", 90), ("600", "mo", 600), ("1100", "mo", 1069)]
)
def test_the_age_of_the_subject_is_capped_in_its_unit(cleaned, value, unit, stated):
    (age,) = cleaned("113104", "113108", source=report(aged(value, unit)))
    assert age.MeasuredValueSequence[0].NumericValue == stated
    assert cleaned("113104", source=report(aged(value, unit))) == []


def test_a_finding_is_a_descriptor(cleaned):
    source = report(item("TEXT", "121071", TextValue="A nodule in the left lung of Mrs Testmann"))  # Finding: D, or C
    (lost,) = cleaned("113104", source=source)
    assert lost.TextValue == "REMOVED"
    (kept,) = cleaned("113104", "113105", source=source)
    assert "nodule" in kept.TextValue
    assert "Testmann" not in kept.TextValue


def test_numbers_codes_and_references_stay(cleaned):
    measured = Dataset()
    measured.NumericValue = "12.5"
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = BasicTextSRStorage, "1.2.3.4.5"
    source = report(
        item("NUM", "111026", "99TEST", MeasuredValueSequence=Sequence([measured])),
        item("IMAGE", "111027", "99TEST", ReferencedSOPSequence=Sequence([reference])),
    )
    number, image = cleaned("113104", source=source)
    assert number.MeasuredValueSequence[0].NumericValue == 12.5
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID.startswith("2.25.")


def test_an_acquisition_context_is_kept_and_cleaned_with_the_option_only(tmp_path):
    ds = deid.header()
    ds.AcquisitionContextSequence = Sequence([item("TEXT", "111023", "99TEST", TextValue="resting, said Testmann")])
    plain = deid.engine_with(tmp_path).deidentify(deid.image(ds), tenant="a").dataset
    assert not plain.get("AcquisitionContextSequence")
    kept = deid.engine_with(tmp_path, "113104").deidentify(deid.image(ds), tenant="a").dataset
    text = kept.AcquisitionContextSequence[0].TextValue
    assert "resting" in text
    assert "Testmann" not in text
